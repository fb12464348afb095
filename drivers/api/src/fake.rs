//! An in-memory driver with faults on demand.
