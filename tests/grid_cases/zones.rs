//! `carm-grid zones`: what the configuration has, and what a service knows.

use crate::desk::Desk;

#[test]
fn the_configurations_zones_are_listed_with_their_sources() {
    let desk = Desk::new()
        .zone("DE", "electricity-maps", "TOKEN")
        .zone("coast", "watttime", "area = \"CAISO_NORTH\"\nTOKEN")
        .plain_zone("somewhere", "typical-day", "");
    let said = desk.run(&["zones"]);
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (
            0,
            "DE         electricity-maps  average   DE\n\
             coast      watttime          marginal  CAISO_NORTH\n\
             somewhere  typical-day       average\n",
            ""
        )
    );
    let json: serde_json::Value = serde_json::from_str(&desk.run(&["zones", "--json"]).out).expect("JSON");
    assert_eq!(json["zones"][1]["area"], "CAISO_NORTH");
}

#[test]
fn a_service_is_asked_for_its_areas_with_the_token_of_its_first_zone() {
    let desk = Desk::new().zone("DE", "electricity-maps", "TOKEN");
    let said = desk.run(&["zones", "electricity-maps"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(said.out.lines().any(|line| line.starts_with("DE ")), "{}", said.out);
    assert!(said.out.lines().collect::<Vec<_>>().is_sorted(), "{}", said.out);
    let json: serde_json::Value = serde_json::from_str(&desk.run(&["zones", "electricity-maps", "--json"]).out).expect("JSON");
    assert_eq!(json["areas"].as_array().map(Vec::len), Some(said.out.lines().count()));
}

#[test]
fn areas_that_are_documented_need_neither_token_nor_network() {
    let desk = Desk::new();
    desk.configure("");
    let said = desk.run(&["zones", "carbon-intensity-gb"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(said.out.lines().count() >= 17, "{}", said.out);
    let said = desk.run(&["zones", "command"]);
    assert_eq!(said.out, "command has no list of areas; docs/grid/command.md tells what a zone of it needs\n");
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_way_out() {
    let desk = Desk::new().plain_zone("somewhere", "typical-day", "");
    let said = desk.run(&["zones", "electricitymap"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.starts_with("carm-grid: zones: 'electricitymap': no such service; give one of electricity-maps, "),
        "{}",
        said.err
    );
    assert!(desk.run(&["zones", "carbon-aware-sdk"]).err.contains("every site has its own; give --base-url"));
    let said = desk.run(&["zones", "watttime", "--token-file=nowhere"]);
    assert!(said.code == 1 && said.err.contains("nowhere"), "{}", said.err);
}
