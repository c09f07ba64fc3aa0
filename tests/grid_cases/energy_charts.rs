//! Source `energy-charts`: what it gives, checked against the stand-in's world.
