//! The two text formats: OpenMetrics, which the library writes, and the older one of Prometheus, which all tools read.

/// How figures are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus.
    #[default]
    Text,
}

impl Format {
    /// What the header Accept asks for: the better one of those that it names, else the one that everybody reads.
    pub fn wanted(accept: &str) -> Self {
        let (mut open_metrics, mut text) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let (mut weight, mut version) = (1.0, "1.0.0");
            for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
                match name {
                    "q" => weight = quality(value),
                    "version" => version = value.trim_matches('"'),
                    _ => {}
                }
            }
            if media_type == "application/openmetrics-text" && version == "1.0.0" {
                open_metrics = weight.max(open_metrics);
            } else if media_type == "text/plain" {
                text = weight.max(text);
            }
        }
        if open_metrics > 0.0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Brings what was written as OpenMetrics, but for its end, into this format.
    pub(super) fn finish(self, mut open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => {
                open_metrics.push_str("# EOF\n");
                open_metrics
            }
            Self::Text => plain(&open_metrics),
        }
    }
}

/// How much somebody likes it, 0 to 1; what is no such number is no wish.
fn quality(value: &str) -> f64 {
    value.parse().ok().filter(|own| (0.0..=1.0).contains(own)).unwrap_or(0.0)
}

/// From OpenMetrics to the older format: the samples are the same. Counters and infos are described under the names that
/// their samples have, and an info is a gauge.
fn plain(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + open_metrics.len() / 16);
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ').map_or("", |(_, words)| words);
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap_or((typed, "untyped"));
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            for words in [
                ["# HELP ", name, ending, " ", help, "\n"],
                ["# TYPE ", name, ending, " ", kind, "\n"],
            ] {
                text.extend(words);
            }
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        use Format::{OpenMetrics, Text};
        for (accept, format) in [
            ("", Text),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Text),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Text),
            ("application/openmetrics-text;version=0.0.1,text/plain;q=0.5", Text),
            // Prometheus 2 and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.4",
                Text,
            ),
            ("text/plain;q=0.9,application/openmetrics-text;q=0.2", Text),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=nan,text/plain", Text),
            (";;;,=,;q=", Text),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_older_format_describes_what_its_samples_are_called() {
        let open_metrics = "# HELP a_b Calls, by kind.\n# TYPE a_b counter\na_b_total{k=\"# x\"} 1\n\
                            # HELP a Program.\n# TYPE a info\na_info{version=\"1\"} 1\n\
                            # HELP c_s Time.\n# TYPE c_s histogram\nc_s_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(
            Format::Text.finish(open_metrics.to_owned()),
            "# HELP a_b_total Calls, by kind.\n# TYPE a_b_total counter\na_b_total{k=\"# x\"} 1\n\
             # HELP a_info Program.\n# TYPE a_info gauge\na_info{version=\"1\"} 1\n\
             # HELP c_s Time.\n# TYPE c_s histogram\nc_s_bucket{le=\"+Inf\"} 1\n"
        );
        assert_eq!(
            Format::OpenMetrics.finish(open_metrics.to_owned()),
            format!("{open_metrics}# EOF\n")
        );
    }
}
