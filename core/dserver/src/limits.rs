//! Every bound of the data-server, with its unit and the reason for the number.
