//! The crate against its reference: nested loops in `f64`, over generated shapes, windows, layouts and values.

mod forward;
mod gradients;
mod modes;
mod readout;
mod reference;
