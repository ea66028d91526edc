//! The properties checked by the fuzz targets. The tests of `carryall-proto` check the same properties
//! with random input.

pub mod properties;
