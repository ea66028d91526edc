//! What the fuzz targets check. The same properties run over random input in the tests of
//! `carryall-proto`.

pub mod properties;
