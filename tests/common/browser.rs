//! A headless Chromium that looks at a page: what it says on its console, how wide the page is, which labels cover one another.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What was seen of a page.
pub struct Seen {
    pub console: Vec<String>,
    pub page_width: f64,
    /// Pairs of labels of a chart that cover one another, and labels that leave it; tables that are cut.
    pub covered: Vec<String>,
    /// Charts that are shown.
    pub charts: usize,
}

/// The page under test runs no script; a page around it measures it.
const AROUND: &str = r#"<!DOCTYPE html><meta charset="utf-8"><style>body{margin:0}iframe{border:0;display:block}</style>
<iframe id="page" width="WIDTH" height="4000" src="PAGE"></iframe><pre id="seen"></pre><script>
onload = () => {
  const page = document.getElementById("page").contentDocument;
  const shown = [...page.querySelectorAll(".chart > svg")].filter(svg => svg.getBoundingClientRect().width > 0);
  const covered = [];
  for (const svg of shown) {
    const frame = svg.getBoundingClientRect();
    const labels = [...svg.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
    labels.forEach(([a, r], i) => {
      if (r.left < frame.left - 1 || r.right > frame.right + 1 || r.bottom > frame.bottom + 1) covered.push(a + " leaves the chart");
      for (const [b, s] of labels.slice(i + 1)) {
        const wide = Math.min(r.right, s.right) - Math.max(r.left, s.left), high = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
        if (wide > 1 && high > 3) covered.push(a + " covers " + b);
      }
    });
  }
  for (const box of page.querySelectorAll(".scroll"))
    if (box.scrollWidth > box.clientWidth + 1) covered.push(box.querySelector("tr").textContent + " leaves its box");
  const width = page.documentElement.scrollWidth;
  document.getElementById("seen").textContent = JSON.stringify({width, covered, charts: shown.length});
};
</script>"#;

/// Looks at a page in a window of some width.
pub fn look(page: &Path, width: u32) -> Seen {
    let around = page.with_file_name("around.html");
    fs::write(&around, AROUND.replace("WIDTH", &width.to_string()).replace("PAGE", "page.html")).expect("a page");
    let output = chromium(page, &["--allow-file-access-from-files", "--dump-dom", "--window-size=1400,4200"], &around);
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let seen = dom.split("<pre id=\"seen\">").nth(1).and_then(|rest| rest.split("</pre>").next()).unwrap_or_default();
    let seen = seen.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let seen: Value =
        serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}\n{}", console(&output).join("\n")));
    Seen {
        console: console(&output),
        page_width: seen["width"].as_f64().expect("a width"),
        covered: seen["covered"].as_array().expect("a list").iter().map(|text| text.to_string()).collect(),
        charts: usize::try_from(seen["charts"].as_u64().expect("a count")).expect("few"),
    }
}

/// A picture of a page in a window.
pub fn picture(page: &Path, to: &Path, width: u32, height: u32) -> Vec<u8> {
    let window = format!("--window-size={width},{height}");
    let shot = format!("--screenshot={}", to.display());
    chromium(page, &[&window, &shot], page);
    let picture = fs::read(to).expect("a picture");
    assert_eq!(picture[16..24], [width.to_be_bytes(), height.to_be_bytes()].concat(), "its size");
    picture
}

/// A page on paper.
pub fn paper(page: &Path, to: &Path) -> Vec<u8> {
    chromium(page, &[&format!("--print-to-pdf={}", to.display()), "--no-pdf-header-footer"], page);
    fs::read(to).expect("a PDF")
}

/// Runs it, with a profile of its own beside the page.
fn chromium(page: &Path, options: &[&str], url: &Path) -> Output {
    let profile = format!("--user-data-dir={}", page.with_file_name("profile").display());
    for name in ["chromium-headless-shell", "chromium", "google-chrome"] {
        let mut command = Command::new(name);
        // Tests run as root, where Chromium's sandbox does not.
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", &profile]);
        command.args(options).arg(format!("file://{}", url.display())).stdin(Stdio::null());
        match command.output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{name}: {said}");
                return output;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }
    panic!("no Chromium; tests/install-needs tests")
}

/// What the page said on its console.
fn console(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect()
}
