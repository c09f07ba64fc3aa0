//! Areas of the platform: EIC codes (Energy Identification Codes, issued by ENTSO-E), and shorter names for the common ones.

use carm::request::printable;

use crate::fault::Fault;

/// Short name, EIC code and what people call it. Source: ENTSO-E's list of EIC codes (entsoe.eu, "EIC Approved Codes"), type Y;
/// each country is the code under which it publishes generation by type.
pub const KNOWN: [(&str, &str, &str); 45] = [
    ("AL", "10YAL-KESH-----5", "Albania"),
    ("AT", "10YAT-APG------L", "Austria"),
    ("BA", "10YBA-JPCC-----D", "Bosnia and Herzegovina"),
    ("BE", "10YBE----------2", "Belgium"),
    ("BG", "10YCA-BULGARIA-R", "Bulgaria"),
    ("CH", "10YCH-SWISSGRIDZ", "Switzerland"),
    ("CZ", "10YCZ-CEPS-----N", "Czechia"),
    ("DE", "10Y1001A1001A83F", "Germany"),
    ("DE-LU", "10Y1001A1001A82H", "Germany and Luxembourg, bidding zone"),
    ("DK", "10Y1001A1001A65H", "Denmark"),
    ("DK1", "10YDK-1--------W", "Denmark, west"),
    ("DK2", "10YDK-2--------M", "Denmark, east"),
    ("EE", "10Y1001A1001A39I", "Estonia"),
    ("ES", "10YES-REE------0", "Spain"),
    ("FI", "10YFI-1--------U", "Finland"),
    ("FR", "10YFR-RTE------C", "France"),
    ("GR", "10YGR-HTSO-----Y", "Greece"),
    ("HR", "10YHR-HEP------M", "Croatia"),
    ("HU", "10YHU-MAVIR----U", "Hungary"),
    ("IE", "10Y1001A1001A59C", "Island of Ireland, single electricity market"),
    ("IT", "10YIT-GRTN-----B", "Italy"),
    ("LT", "10YLT-1001A0008Q", "Lithuania"),
    ("LU", "10YLU-CEGEDEL-NQ", "Luxembourg"),
    ("LV", "10YLV-1001A00074", "Latvia"),
    ("ME", "10YCS-CG-TSO---S", "Montenegro"),
    ("MK", "10YMK-MEPSO----8", "North Macedonia"),
    ("NL", "10YNL----------L", "Netherlands"),
    ("NO", "10YNO-0--------C", "Norway"),
    ("NO1", "10YNO-1--------2", "Norway, Oslo"),
    ("NO2", "10YNO-2--------T", "Norway, Kristiansand"),
    ("NO3", "10YNO-3--------J", "Norway, Trondheim"),
    ("NO4", "10YNO-4--------9", "Norway, Tromso"),
    ("NO5", "10Y1001A1001A48H", "Norway, Bergen"),
    ("PL", "10YPL-AREA-----S", "Poland"),
    ("PT", "10YPT-REN------W", "Portugal"),
    ("RO", "10YRO-TEL------P", "Romania"),
    ("RS", "10YCS-SERBIATSOV", "Serbia"),
    ("SE", "10YSE-1--------K", "Sweden"),
    ("SE1", "10Y1001A1001A44P", "Sweden, Lulea"),
    ("SE2", "10Y1001A1001A45N", "Sweden, Sundsvall"),
    ("SE3", "10Y1001A1001A46L", "Sweden, Stockholm"),
    ("SE4", "10Y1001A1001A47J", "Sweden, Malmo"),
    ("SI", "10YSI-ELES-----O", "Slovenia"),
    ("SK", "10YSK-SEPS-----K", "Slovakia"),
    ("XK", "10Y1001C--00100H", "Kosovo"),
];

/// The EIC code of an area: itself, or that of a short name.
pub fn eic(area: &str) -> Result<&str, Fault> {
    if let Some((_, eic, _)) = KNOWN.iter().find(|(key, ..)| key.eq_ignore_ascii_case(area)) {
        return Ok(eic);
    }
    let refuse = |cause: &str| Err(Fault::Setup(format!("area: '{}' {cause}; carm-grid zones lists areas", printable(area))));
    match check_character(area) {
        Some(expected) if area.ends_with(expected) => Ok(area),
        Some(expected) => {
            refuse(&format!("is a mistyped EIC code: the others ask for '{expected}' as the last of its characters"))
        }
        None => refuse("is neither a country's two letters nor an EIC code of 16 characters"),
    }
}

/// The last character of an EIC code, by the 15 before it: weights 16 to 2, modulo 37 (ENTSO-E, EIC reference manual, appendix
/// A).
fn check_character(code: &str) -> Option<char> {
    const LETTERS: &[u8; 37] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-";
    let bytes = code.as_bytes();
    if bytes.len() != 16 {
        return None;
    }
    let value = |byte: &u8| LETTERS.iter().position(|letter| letter == byte);
    value(&bytes[15])?;
    let mut sum = 0;
    for (index, byte) in bytes[..15].iter().enumerate() {
        sum += value(byte)? * (16 - index);
    }
    Some(char::from(LETTERS[36 - (sum + 36) % 37]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_area_has_a_sound_code_and_a_name_of_its_own() {
        for (key, code, name) in KNOWN {
            assert_eq!(check_character(code), code.chars().last(), "{key} {code}");
            assert_eq!(eic(key), Ok(code), "{name}");
            assert_eq!(eic(code), Ok(code), "{name}");
            let doubles = KNOWN.iter().filter(|other| other.0 == key || other.1 == code).count();
            assert_eq!(doubles, 1, "{key} {code}");
        }
    }

    #[test]
    fn a_name_that_is_no_area_and_a_mistyped_code_are_told() {
        let told = |area: &str| eic(area).expect_err(area).to_string();
        assert_eq!(eic("de"), Ok("10Y1001A1001A83F"));
        assert_eq!(
            told("Germany"),
            "area: 'Germany' is neither a country's two letters nor an EIC code of 16 characters; carm-grid zones lists areas"
        );
        assert!(told("10Y1001A1001A84F").contains("mistyped EIC code: the others ask for 'D'"), "{}", told("10Y1001A1001A84F"));
        assert!(told("10y1001a1001a83f").contains("neither"));
        assert!(told("\u{7}").contains("neither"));
    }
}
