//! Benchmarks of the small parts, each a criterion bench in `benches/`. `sdfs bench` measures a
//! whole cluster.
