//! Fuzz targets as functions of libswarm.
