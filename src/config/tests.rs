use super::*;

fn parse(text: &str) -> Result<Config, TomlError> {
    Config::parse(text, Path::new("/etc/carm/carm.toml"))
}

const TWO_SITES: &str = r#"
[[zone]]
name = "DE"
source = "trace"
path = "de.csv"

[[site]]
name = "north"
zone = "DE"
partition = "gpu-north"
gpus = 8

[[site]]
name = "south"
zone = "DE"
host_watts = 0
"#;

#[test]
fn defaults_are_the_contracts() {
    let config = parse("").expect("an empty file");
    assert_eq!(
        config.planner,
        Planner {
            objective: Objective::Performance,
            horizon_s: 604_800.0,
            max_delay_s: 43_200.0,
            max_delay_ratio: 0.5,
            host_watts: 100.0,
            pue: 1.2,
            ask_slurm: true
        }
    );
    assert_eq!(config.node.nvml_library, Path::new("libnvidia-ml.so.1"));
    assert_eq!(config.node.account, Account::Carbon);
}

#[test]
fn paths_are_relative_to_the_file_and_sites_inherit_the_planners_figures() {
    let config = parse(TWO_SITES).expect("two sites");
    assert_eq!(config.zones[0].source, Source::Trace { path: "/etc/carm/de.csv".into(), extend: false });
    assert_eq!((config.sites[0].host_watts, config.sites[1].host_watts), (100.0, 0.0));
    assert_eq!(config.sites[0].onsite_g_per_kwh, 30.0);
    assert_eq!(config.profiles_dir(), Some("/etc/carm/profiles".into()));
}

#[test]
fn every_fault_names_file_line_key_and_the_way_out() {
    for (text, expected) in [
        ("[planner]\npua = 1\n", "/etc/carm/carm.toml:2: unknown field `pua`, expected one of"),
        (
            "[planner]\npue = 0.5\n",
            "/etc/carm/carm.toml:2: planner.pue: '0.5': not a power usage effectiveness; give 1 to 10, such as 1.2",
        ),
        ("[planner]\npue = nan\n", "/etc/carm/carm.toml:2: planner.pue: 'NaN': not a power usage effectiveness"),
        (
            "[planner]\nmax_delay = \"24\"\n",
            "/etc/carm/carm.toml:2: planner.max_delay: '24': the unit is missing; give a duration",
        ),
        ("[planner]\nobjective = \"green\"\n", "/etc/carm/carm.toml:2: unknown variant `green`"),
        (
            "[[zone]]\nname = \"X\"\nsource = \"trace\"\n",
            "/etc/carm/carm.toml:1: zone[0].path: missing; a zone with source = \"trace\" names its file",
        ),
        (
            "[[zone]]\nname = \"X\"\nsource = \"eia\"\n",
            "/etc/carm/carm.toml:1: zone[0].token_file: missing; this source wants a token",
        ),
        (
            "[[zone]]\nname = \"X\"\nsource = \"typical-day\"\ntoken_file = \"t\"\n",
            "/etc/carm/carm.toml:4: zone[0].token_file: source \"typical-day\" has no such key; it takes utc_offset_hours, signal",
        ),
        (
            "[[zone]]\nname = \"X\"\nsource = \"trace\"\npath = \"x.csv\"\ninterval = \"5m\"\n",
            "/etc/carm/carm.toml:5: zone[0].interval: source \"trace\" has no such key; it takes path, extend, signal",
        ),
        (
            "[[zone]]\nname = \"X\"\nsource = \"energy-charts\"\ntoken_file = \"t\"\n",
            "/etc/carm/carm.toml:4: zone[0].token_file: source \"energy-charts\" has no such key; it takes area, base_url, interval, ",
        ),
        (
            "[[zone]]\nname = \"X\"\nsource = \"energy-charts\"\nbase_url = \"https://a:b@c\"\n",
            "/etc/carm/carm.toml:4: zone[0].base_url: 'https://a:b@c': more than an address; everybody can read it",
        ),
        (
            "[[zone]]\nname = \"X\"\nsource = \"typical-day\"\n[[site]]\nname = \"a\"\nzone = \"X\"\nonsite_zone = \"X\"\n",
            "/etc/carm/carm.toml:7: site[0].onsite_zone: 'X': gives no on-site power; give a zone of source \"prometheus\"",
        ),
        (
            "[[zone]]\nname = \"X\"\nsource = \"typical-day\"\n[[site]]\nname = \"a\"\nzone = \"X\"\nonsite = \"x\"\nonsite_zone = \"X\"\n",
            "/etc/carm/carm.toml:8: site[0].onsite_zone: 'X': stands beside onsite; give one of the two",
        ),
        ("[[site]]\nname = \"a\"\nzone = \"X\"\n", "/etc/carm/carm.toml:3: site[0].zone: 'X': no such [[zone]]; give one of "),
        ("[node]\nsite = \"a\"\n", "/etc/carm/carm.toml:2: node.site: 'a': no such [[site]]"),
        ("[node]\nrestore_mhz = [2000, 1000]\n", "/etc/carm/carm.toml:2: node.restore_mhz: '[2000, 1000]': not a clock range"),
        ("[node]\nlog = \"carm.log\"\n", "/etc/carm/carm.toml:2: node.log: 'carm.log': give \"syslog\" or an absolute path"),
    ] {
        let message = parse(text).expect_err(text).to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn folders_are_relative_to_the_configuration() {
    let config = parse("[node]\nmetrics_dir = \"metrics\"\n[grid]\ncache_dir = \"cache\"\n").expect("folders");
    assert_eq!(config.node.metrics_dir, Some("/etc/carm/metrics".into()));
    assert_eq!(config.grid.cache_dir, Path::new("/etc/carm/cache"));
}

#[test]
fn metrics_port_is_no_key() {
    let message = parse("[node]\nmetrics_listen = \"127.0.0.1:9861\"\n").expect_err("an unknown key").to_string();
    assert!(message.starts_with("/etc/carm/carm.toml:2: ") && message.contains("metrics_listen"), "{message}");
}

#[test]
fn a_site_or_zone_that_stands_twice_is_refused() {
    let twice = TWO_SITES.replace("south", "north");
    assert_eq!(
        parse(&twice).expect_err("twice").to_string(),
        "/etc/carm/carm.toml:14: site[1].name: 'north': stands twice; each site once"
    );
    let twice = format!("{TWO_SITES}\n[[zone]]\nname = \"DE\"\nsource = \"typical-day\"\n");
    assert!(parse(&twice).expect_err("twice").to_string().ends_with("stands twice; each zone once"));
}

#[test]
fn a_name_that_sbatch_would_read_as_an_option_is_refused() {
    let text = TWO_SITES.replace("gpu-north", "--wrap=reboot");
    assert!(
        parse(&text)
            .expect_err("an option")
            .to_string()
            .contains("site[0].partition: '--wrap=reboot': not a name that Slurm takes")
    );
}

#[test]
fn a_missing_file_is_named() {
    let message = Config::load(Path::new("/nonexistent/carm.toml")).expect_err("no file").to_string();
    assert!(message.starts_with("/nonexistent/carm.toml: cannot be read: "), "{message}");
}

#[test]
fn without_any_file_there_is_one_site_on_the_typical_day() {
    let config = Config::embedded(3_600);
    assert_eq!(config.zone_of(&config.sites[0]).source, Source::TypicalDay { utc_offset_s: 3_600 });
}

#[test]
fn unreadable_file_names_its_cause_once() {
    let folder = Path::new("/");
    let error = Config::load(folder).expect_err("a folder");
    // Programs print an error's chain: a cause in the text must not be a source, too.
    assert!(std::error::Error::source(&error).is_none() && error.to_string().contains("(os error 21)"), "{error}");
}
