//! Profiles: clusters by name, each a properties file in the user's configuration directory.
//!
//! `profiles/NAME.properties` has `bootstrap.servers` and settings of clients; the file `profile` names the one in use.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Hinted;
use crate::config::{Client, ClientProperties};

/// Where profiles are kept.
#[derive(Debug, Clone)]
pub(crate) struct Profiles {
    directory: PathBuf,
}

/// A profile that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    /// Its file.
    pub(crate) path: PathBuf,
}

impl Profiles {
    /// `$XDG_CONFIG_HOME/kafka-rs`, else `~/.config/kafka-rs`; relative paths do not count (XDG Base Directory).
    pub(crate) fn of(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let from = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = from("XDG_CONFIG_HOME").or_else(|| from("HOME").map(|home| home.join(".config")))?;
        Some(Self { directory: base.join("kafka-rs") })
    }

    /// Those of the user who runs this.
    pub(crate) fn of_user() -> Option<Self> {
        Self::of(|name| std::env::var_os(name))
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<Profile> {
        let path = self.path(name)?;
        if path.is_file() {
            return Ok(Profile { name: name.to_owned(), path });
        }
        let known = self.names()?;
        let hint = match super::did_you_mean(name, known.iter().map(String::as_str)) {
            Some(hint) => hint,
            None if known.is_empty() => format!("`kafka-rs profile add {name} --bootstrap-server ...` makes it"),
            None => format!("these are known: {}", known.join(", ")),
        };
        Err(Hinted::error(format!("there is no profile {name}"), hint))
    }

    /// The profile that was said to be used from then on.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn get_in_use(&self, name: &str) -> anyhow::Result<Profile> {
        if self.path(name)?.is_file() {
            return self.get(name);
        }
        let hint = "`kafka-rs profile use NAME` uses another, `kafka-rs profile use --none` none";
        Err(Hinted::error(format!("the profile in use, {name}, is gone"), hint))
    }

    /// The file of a profile that may not exist.
    ///
    /// # Errors
    /// The name can't be one of a file.
    pub(crate) fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let fits = |one: char| one.is_ascii_alphanumeric() || "._-".contains(one);
        if name.is_empty() || name.starts_with('.') || name.len() > 100 || !name.chars().all(fits) {
            let hint = "letters, digits, `.`, `_` and `-` make a name";
            return Err(Hinted::error(format!("`{name}` can't be the name of a profile"), hint));
        }
        Ok(self.directory.join("profiles").join(format!("{name}.properties")))
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.directory.join("profiles")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if !entry.path().is_file() {
                continue;
            }
            let name = entry.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".properties")).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The name of the one in use, which may be gone.
    pub(crate) fn in_use(&self) -> Option<String> {
        let text = fs::read_to_string(self.directory.join("profile")).ok()?;
        Some(text.trim().to_owned()).filter(|name| !name.is_empty())
    }

    /// Uses a profile from now on, or none.
    pub(crate) fn set_in_use(&self, name: Option<&str>) -> io::Result<()> {
        match name {
            Some(name) => write_private(&self.directory.join("profile"), &format!("{name}\n")),
            None => remove(&self.directory.join("profile")),
        }
    }

    /// Removes a profile, and its use.
    pub(crate) fn remove(&self, profile: &Profile) -> io::Result<()> {
        if self.in_use().as_deref() == Some(&profile.name) {
            self.set_in_use(None)?;
        }
        remove(&profile.path)
    }
}

impl Profile {
    /// Its `bootstrap.servers`.
    ///
    /// # Errors
    /// It has none: the file is something else, or was spoilt.
    pub(crate) fn servers(&self) -> anyhow::Result<String> {
        let found = self.properties(Client::Admin)?;
        let missing = || {
            let hint = format!(
                "write the line `bootstrap.servers=HOST:PORT` into {}, or `kafka-rs profile remove {}`",
                self.path.display(),
                self.name
            );
            Hinted::error(format!("the profile {} names no broker", self.name), hint)
        };
        Ok(found.get("bootstrap.servers").ok_or_else(missing)?.to_owned())
    }

    /// Its settings, for this client.
    pub(crate) fn properties(&self, client: Client) -> anyhow::Result<ClientProperties> {
        let mut properties = ClientProperties::new(client);
        properties.read(&self.path)?;
        Ok(properties)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Writes a file that only its user can read, in one step.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // Temporary files are made for the user alone.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles() -> (tempfile::TempDir, Profiles) {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().as_os_str().to_owned();
        let profiles = Profiles::of(|name| (name == "XDG_CONFIG_HOME").then(|| base.clone())).unwrap();
        (directory, profiles)
    }

    #[test]
    fn the_directory_is_the_users() {
        let of = |set: &[(&str, &str)]| {
            let find = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
            Profiles::of(find).map(|profiles| profiles.directory)
        };
        assert_eq!(of(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), Some("/x/kafka-rs".into()));
        assert_eq!(of(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]), Some("/h/.config/kafka-rs".into()));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn names_are_no_paths() {
        let (_directory, profiles) = profiles();
        for odd in ["", "../x", "a/b", ".hidden", "a b"] {
            assert!(profiles.path(odd).is_err(), "{odd}");
        }
        profiles.path("prod-1.eu_west").unwrap();
    }

    #[test]
    fn profiles_come_and_go() {
        let (_directory, profiles) = profiles();
        assert_eq!((profiles.names().unwrap(), profiles.in_use()), (Vec::new(), None));
        profiles.get("prod").unwrap_err();
        for name in ["prod", "dev"] {
            write_private(&profiles.path(name).unwrap(), "bootstrap.servers=a:1\n").unwrap();
        }
        assert_eq!(profiles.names().unwrap(), ["dev", "prod"]);
        profiles.set_in_use(Some("prod")).unwrap();
        assert_eq!(profiles.in_use().as_deref(), Some("prod"));
        let profile = profiles.get("prod").unwrap();
        assert_eq!(profile.properties(Client::Admin).unwrap().get("bootstrap.servers"), Some("a:1"));
        std::fs::create_dir(profile.path.with_file_name("odd.properties")).unwrap();
        assert_eq!(profiles.names().unwrap(), ["dev", "prod"], "a directory is no profile");
        profiles.remove(&profile).unwrap();
        let gone = profiles.get_in_use("prod").unwrap_err();
        assert_eq!(gone.to_string(), "the profile in use, prod, is gone");
        assert_eq!((profiles.names().unwrap(), profiles.in_use()), (vec!["dev".to_owned()], None));
    }

    #[cfg(unix)]
    #[test]
    fn files_are_for_their_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_directory, profiles) = profiles();
        let path = profiles.path("prod").unwrap();
        write_private(&path, "x=y\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
