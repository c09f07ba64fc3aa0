//! Signals of all steps, in all weathers: clock changes, gaps, repetitions, nonsense.
