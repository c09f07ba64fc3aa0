//! Masses of carbon dioxide equivalent (gCO2e).

use super::{QuantityError, parse_plain_number, split_unit};

const EXPECTED: &str = "a mass such as 500g, 1.2kg or 0.3t (a bare number is grams)";

/// The greatest mass accepted, in grams: a million tonnes, more than any computing site emits in a year.
const MAX_G: f64 = 1e12;

/// The least mass accepted, in grams. Written out in plain digits, as it travels to the node, anything less would be
/// longer than the numbers that are read.
const MIN_G: f64 = 1e-6;

/// Reads a mass in grams: `500g`, `1.2kg`, `0.3t`; a bare number is grams.
///
/// # Errors
/// Anything that is no positive number with one of these units, or that is over a million tonnes or under a
/// microgram.
pub fn parse_mass(text: &str) -> Result<f64, QuantityError> {
    let (number, unit) = split_unit(text);
    let grams_per_unit = match unit {
        "" | "g" => 1.0,
        "kg" => 1e3,
        "t" => 1e6,
        _ => return Err(QuantityError::new("not a mass", EXPECTED)),
    };
    let number = parse_plain_number(number).ok_or_else(|| QuantityError::new("not a mass", EXPECTED))?;
    let grams = number * grams_per_unit;
    if grams <= 0.0 {
        return Err(QuantityError::new("a mass must be more than zero", EXPECTED));
    }
    if grams < MIN_G {
        return Err(QuantityError::new("less than a microgram", EXPECTED));
    }
    if grams > MAX_G {
        return Err(QuantityError::new("more than a million tonnes", EXPECTED));
    }
    Ok(grams)
}

/// Reads a share in per cent, `80%`, as 0.8; `None` for a text that does not end in `%`.
///
/// # Errors
/// What stands before `%` is no number above 0, or more than 1000.
pub fn parse_share(text: &str) -> Option<Result<f64, QuantityError>> {
    let number = parse_plain_number(text.strip_suffix('%')?).filter(|&percent| percent > 0.0 && percent <= 1000.0);
    Some(number.map(|percent| percent / 100.0).ok_or_else(|| QuantityError::new("not a share", "a share such as 80%, above 0 %")))
}

/// A mass for people: three significant figures or so, in the unit that suits it.
#[must_use]
pub fn format_mass(grams: f64) -> String {
    let magnitude = grams.abs();
    let (value, unit) = if magnitude >= 1e6 {
        (grams / 1e6, "t")
    } else if magnitude >= 1e3 {
        (grams / 1e3, "kg")
    } else {
        (grams, "g")
    };
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 || v == 0.0 => 2,
        _ => 3,
    };
    format!("{} {unit}", super::decimals(value, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masses_are_read_in_grams() {
        assert_eq!(parse_mass("500g"), Ok(500.0));
        assert_eq!(parse_mass("500"), Ok(500.0));
        assert_eq!(parse_mass("1.2kg"), Ok(1200.0));
        assert_eq!(parse_mass("0.3t"), Ok(300_000.0));
    }

    #[test]
    fn what_is_no_mass_is_refused_with_examples() {
        for bad in [
            "",
            "kg",
            "0",
            "0g",
            "-5g",
            "1e3",
            "nan",
            "inf",
            "5 g",
            "5lb",
            "1.2.3kg",
            "9999999t",
            "5g;reboot",
            "0.0000009g",
            "５g",
        ] {
            let error = parse_mass(bad).expect_err(bad);
            assert!(error.to_string().contains("500g, 1.2kg or 0.3t"), "{bad}: {error}");
        }
    }

    #[test]
    fn shares_are_per_cent() {
        assert_eq!((parse_share("80%"), parse_share("12.5%"), parse_share("80")), (Some(Ok(0.8)), Some(Ok(0.125)), None));
        for bad in ["%", "0%", "-5%", "1001%", "nan%", "8 0%", "80%%"] {
            assert!(matches!(parse_share(bad), Some(Err(_))), "{bad}");
        }
    }

    #[test]
    fn masses_are_shown_in_the_unit_that_suits_them() {
        assert_eq!(format_mass(0.0), "0.00 g");
        assert_eq!(format_mass(0.1234), "0.123 g");
        assert_eq!(format_mass(12.34), "12.3 g");
        assert_eq!(format_mass(999.96), "1000 g");
        assert_eq!(format_mass(1234.0), "1.23 kg");
        assert_eq!(format_mass(5.6e6), "5.60 t");
    }
}
