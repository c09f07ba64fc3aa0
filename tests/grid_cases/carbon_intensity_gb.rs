//! Source `carbon-intensity-gb`: what it gives, checked against the stand-in's world.
