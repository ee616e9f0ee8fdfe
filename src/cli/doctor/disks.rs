//! Log directories: full, or failed.

use super::finding::{Finding, Severity};
use crate::client::admin::LogDir;
use crate::client::{Admin, ClientError};
use crate::types::NodeId;

/// Free space, in hundredths, below which it is told.
const LITTLE: i128 = 15;
const HARDLY_ANY: i128 = 5;

/// Looks at the directories of all brokers.
pub(super) async fn look(admin: &Admin, findings: &mut Vec<Finding>) -> Result<(), ClientError> {
    for (broker, directories) in admin.describe_log_dirs(None, None).await? {
        match directories {
            Ok(directories) => findings.extend(directories.iter().filter_map(|directory| judge(broker, directory))),
            Err(error) => findings.push(Finding::could_not(&format!("disks of broker {broker}"), &error)),
        }
    }
    Ok(())
}

fn judge(broker: NodeId, directory: &LogDir) -> Option<Finding> {
    let subject = vec![format!("{} of broker {broker}", directory.path)];
    if let Some(error) = &directory.error {
        let text = format!("a log directory has failed ({error}), and its partitions are offline there");
        let fix = "replace the disk and start the broker again: partitions with other replicas are copied back";
        return Finding::new(Severity::Problem, "log-directory-failed", text, fix).about(subject);
    }
    if directory.total_bytes <= 0 || directory.usable_bytes < 0 {
        return None;
    }
    let free = i128::from(directory.usable_bytes) * 100 / i128::from(directory.total_bytes);
    let severity = match free {
        ..HARDLY_ANY => Severity::Problem,
        HARDLY_ANY..LITTLE => Severity::Warning,
        _ => return None,
    };
    let fix = "delete topics, lower retention.ms or retention.bytes, or add disks and move partitions there";
    Finding::new(severity, "disk-full", format!("the disk of a log directory has {free} % left"), fix).about(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_when_little_is_left() {
        let severity = |total_bytes, usable_bytes| {
            let directory =
                LogDir { path: "/d".to_owned(), error: None, replicas: Vec::new(), total_bytes, usable_bytes };
            judge(NodeId(1), &directory).map(|finding| finding.severity)
        };
        assert_eq!(severity(100, 50), None);
        assert_eq!(severity(100, 14), Some(Severity::Warning));
        assert_eq!(severity(100, 4), Some(Severity::Problem));
        assert_eq!(severity(-1, -1), None, "not told");
        assert_eq!(severity(i64::MAX, 0), Some(Severity::Problem));
    }
}
