//! Global flags, the list of subcommands, and the `match` that calls them.
