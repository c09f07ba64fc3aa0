//! Results, shown: a table for people, JSON and CSV for programs, each job's fate, and one self-contained page. All of them are functions of the results alone.

pub mod csv;
pub mod html;
pub mod json;
pub mod records;
pub mod table;
