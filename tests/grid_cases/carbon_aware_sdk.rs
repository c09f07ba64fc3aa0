//! Source `carbon-aware-sdk`: what it gives, checked against the stand-in's world.
