//! The verbs that docker-machine's users know, on machines that never boot.

mod copies;
mod file;
mod life;
mod looks;
