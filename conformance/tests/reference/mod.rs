//! The smallest driver that keeps every clause, and the same driver with one [`Defect`].

mod changes;
mod defect;
mod defective;
mod driver;
mod harness;
mod listing;
mod memory;
mod reads;
mod recent;
mod table;

pub use defect::Defect;
pub use defective::Defective;
pub use driver::Reference;
pub use harness::ReferenceHarness;
