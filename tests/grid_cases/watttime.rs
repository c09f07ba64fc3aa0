//! Source `watttime`: what it gives, checked against the stand-in's world.
