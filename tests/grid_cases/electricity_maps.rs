//! Source `electricity-maps`: what it gives, checked against the stand-in's world.
