//! Tests of the certificates.
