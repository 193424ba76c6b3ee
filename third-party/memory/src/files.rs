//! Stores in files.

use std::path::Path;

use session_conformance::testing::FreshPath;
use session_conformance::{HarnessResult, Requirement};
use session_core::Survives;
use third_party_adapter::Store;
use third_party_adapter::tower::{Tower14, Tower15};
use tower_sessions_file_store::FileSessionStorage;
use tower_sessions_sled_store::SledStore;

/// The path of the storage, in a temporary directory or of another process.
const NAME: &str = "sessions";

pub struct FileStore;

impl Store for FileStore {
    const NAME: &'static str = "tower-sessions-file-store";
    const PACKAGE: &'static str = "tower-sessions-file-store";
    const TRAIT: &'static str = "tower-sessions 0.15";
    const SURVIVES: Survives = Survives::Kill;
    type Home = FreshPath;
    type Handle = Tower15<FileSessionStorage>;

    async fn create() -> HarnessResult<FreshPath> {
        Ok(FreshPath::new(NAME)?)
    }

    async fn open(home: &FreshPath) -> HarnessResult<Self::Handle> {
        Ok(Tower15::new(FileSessionStorage::new_in_folder(home.path().to_owned())))
    }

    fn address(home: &FreshPath) -> Option<String> {
        home.address()
    }

    fn attach(address: &str) -> HarnessResult<FreshPath> {
        Ok(FreshPath::of_another(address))
    }
}

pub struct FileBased;

impl Store for FileBased {
    const NAME: &'static str = "tower-sessions-file-based-store";
    const PACKAGE: &'static str = "tower-sessions-file-based-store";
    const TRAIT: &'static str = "tower-sessions 0.15";
    const SURVIVES: Survives = Survives::Kill;
    type Home = FreshPath;
    type Handle = Tower15<tower_sessions_file_based_store::FileStore>;

    async fn create() -> HarnessResult<FreshPath> {
        Ok(FreshPath::new(NAME)?)
    }

    async fn open(home: &FreshPath) -> HarnessResult<Self::Handle> {
        Ok(Tower15::new(tower_sessions_file_based_store::FileStore::in_dir(home.path())?))
    }

    fn address(home: &FreshPath) -> Option<String> {
        home.address()
    }

    fn attach(address: &str) -> HarnessResult<FreshPath> {
        Ok(FreshPath::of_another(address))
    }
}

pub struct Fs;

impl Store for Fs {
    const NAME: &'static str = "tower-sessions-fs-store";
    const PACKAGE: &'static str = "tower-sessions-fs-store";
    const TRAIT: &'static str = "tower-sessions 0.15";
    const SURVIVES: Survives = Survives::Kill;
    type Home = FreshPath;
    type Handle = Tower15<tower_sessions_fs_store::FileStore>;

    async fn create() -> HarnessResult<FreshPath> {
        Ok(FreshPath::new(NAME)?)
    }

    /// The store takes a path that lives as long as the process.
    async fn open(home: &FreshPath) -> HarnessResult<Self::Handle> {
        let path: &'static Path = Box::leak(home.path().to_owned().into_boxed_path());
        Ok(Tower15::new(tower_sessions_fs_store::FileStore::new(path)))
    }

    fn address(home: &FreshPath) -> Option<String> {
        home.address()
    }

    fn attach(address: &str) -> HarnessResult<FreshPath> {
        Ok(FreshPath::of_another(address))
    }
}

pub struct Sled;

impl Store for Sled {
    const NAME: &'static str = "tower-sessions-sled-store";
    const PACKAGE: &'static str = "tower-sessions-sled-store";
    const TRAIT: &'static str = "tower-sessions 0.14";
    const SURVIVES: Survives = Survives::Nothing;
    const LACKS: &'static [(Requirement, &'static str)] = &[
        (Requirement::Close, "not tried: a process opens a sled database once"),
        (Requirement::Kill, "sled writes to disk on its own schedule"),
    ];
    /// All handles of a process share the database.
    type Home = (sled::Tree, sled::Db, FreshPath);
    type Handle = Tower14<SledStore>;

    async fn create() -> HarnessResult<Self::Home> {
        let path = FreshPath::new(NAME)?;
        let database = sled::open(path.path())?;
        Ok((database.open_tree("session")?, database, path))
    }

    async fn open((tree, _, _): &Self::Home) -> HarnessResult<Self::Handle> {
        Ok(Tower14::new(SledStore::new(tree.clone())))
    }
}
