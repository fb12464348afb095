//! Sinks on a captured process and a small terminal.
