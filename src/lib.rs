//! CARM
