//! The checkout keeps its own rules.

#[test]
fn the_checkout_is_tidy() {
    let faults = sdfs_xtask::check(&sdfs_xtask::root()).expect("the checkout can be read");
    let listed: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "\n{}", listed.join("\n"));
}
