//! The cloud-init seed: an ISO 9660 image that several drivers attach.
