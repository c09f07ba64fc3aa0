//! Source `eia`: what it gives, checked against the stand-in's world.
