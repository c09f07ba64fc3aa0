//! What a signal is of. How it may be continued depends on it: a share ends at one, the sun does not shine at night.

/// What a signal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Carbon intensity in g/kWh.
    CarbonGPerKwh,
    /// Renewable share, 0 to 1.
    RenewableShare,
    /// On-site power in watts.
    OnsiteW,
}
