//! The contract as code.
