//! Dropgate
