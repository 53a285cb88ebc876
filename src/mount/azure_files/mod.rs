//! Azure Files: each person's own file share, and an identity that opens that share alone.
//!
//! All of it goes through Resource Manager, so the hub holds no account key. Whoever has a server is root on it, so what
//! reaches a server must open its person's share and nothing else: by default a managed identity of the person's own, whose
//! role's scope is the one share.

mod access;
mod arm;
mod data_plane;
pub mod script;
mod settings;
pub mod ssh;

pub use access::Access;
pub use arm::account;
pub use data_plane::StorageSecret;
pub use settings::{Credential, Method, SshFiles, Storage};

use super::{HUB, Owner, STORAGE_ID, USER};
use crate::cloud::CloudError;
use crate::cloud::azure::ResourceManager;
use crate::error::Failure;
use crate::wire::Code;
use crate::wire::reply::Share;
use arm::FileShare;
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

/// The kind in `spec.mounts`.
pub const KIND: &str = "azure_files";
/// Single reads that complete a list are made a few at a time; Resource Manager's quota is the limit, not this.
const CALLS_AT_ONCE: usize = 8;
/// A name that was another's before gets a number; so many in a row do not happen.
const MOST_NAMES: u32 = 20;

/// The file shares of one storage account.
pub struct Files<'a> {
    arm: &'a ResourceManager,
    storage: &'a Storage,
    shares: Box<dyn Shares + 'a>,
}

/// A way to an account's shares; each call may be repeated.
#[async_trait]
trait Shares: Send + Sync {
    /// A share; none where Azure says that it is not there.
    async fn get(&self, name: &str, deadline: Instant) -> Result<Option<FileShare>, CloudError>;

    /// All shares of the account, or at least all whose names are of our making.
    async fn list(&self, deadline: Instant) -> Result<Vec<FileShare>, CloudError>;

    /// Makes a share.
    async fn create(&self, name: &str, marks: &Marks, deadline: Instant) -> Result<(), CloudError>;

    /// Records something else on a share.
    async fn mark(&self, name: &str, marks: &Marks, deadline: Instant) -> Result<(), CloudError>;

    /// Removes a share with all that is in it.
    async fn delete(&self, name: &str, deadline: Instant) -> Result<(), CloudError>;

    /// Whether the account answers.
    async fn check(&self, deadline: Instant) -> Result<(), CloudError>;
}

/// What is recorded on a share.
type Marks = [(String, String)];

/// Where a person's share is, or could be.
enum Place {
    Found(FileShare),
    /// Nobody has this name yet.
    Free(String),
}

impl<'a> Files<'a> {
    /// The account that `storage` names, asked through `arm`; its shares through the account itself where there is a `secret`
    /// for it.
    ///
    /// # Errors
    /// `invalid_config` where the secret cannot be used; it is not repeated.
    pub fn new(
        arm: &'a ResourceManager,
        storage: &'a Storage,
        secret: Option<&StorageSecret>,
    ) -> Result<Self, Failure> {
        let shares: Box<dyn Shares + 'a> = match secret {
            None => Box::new(arm::ByResourceManager::new(arm, storage)),
            Some(secret) => Box::new(data_plane::BySignature::open(arm, storage, secret)?),
        };
        Ok(Self {
            arm,
            storage,
            shares,
        })
    }

    /// The person's share, made where it is not there. May be repeated, and by several at once: there is one share.
    ///
    /// # Errors
    /// `conflict`: a share of that name is another hub's, or bears no mark; whatever kept Azure from telling or making it.
    pub async fn ensure(&self, owner: &Owner, deadline: Instant) -> Result<Share, Failure> {
        match self.place(owner, deadline).await? {
            Place::Found(share) => Ok(answer(share.name, false)),
            Place::Free(name) => {
                let marks = metadata(owner);
                self.shares.create(&name, &marks, deadline).await?;
                // Two starts may have made it at once, and a hub elsewhere may have: whose it is now is what counts.
                let made = self.shares.get(&name, deadline).await?;
                match made {
                    Some(share) if self.is_theirs(owner, &share)? => Ok(answer(name, true)),
                    _ => Err(Failure::new(
                        Code::Unavailable,
                        format!("file share {name} was made, and is not there as it was made"),
                    )),
                }
            }
        }
    }

    /// The person's share, where it is there.
    ///
    /// # Errors
    /// `not_found`, and as `ensure`.
    pub async fn show(&self, owner: &Owner, deadline: Instant) -> Result<Share, Failure> {
        match self.place(owner, deadline).await? {
            Place::Found(share) => Ok(answer(share.name, false)),
            Place::Free(_) => Err(Failure::new(
                Code::NotFound,
                format!(
                    "{:?} has no file share in {}",
                    owner.user, self.storage.account
                ),
            )),
        }
    }

    /// The person is called `to` from now on; their share stays where it is.
    ///
    /// # Errors
    /// `conflict`: `to` has a share already; and as `show`.
    pub async fn rename(
        &self,
        owner: &Owner,
        to: &str,
        deadline: Instant,
    ) -> Result<Share, Failure> {
        let new = Owner {
            user: to.to_owned(),
            ..owner.clone()
        };
        match (
            self.place(owner, deadline).await?,
            self.place(&new, deadline).await?,
        ) {
            // A repetition of one that was done.
            (Place::Free(_), Place::Found(share)) => Ok(answer(share.name, false)),
            (Place::Found(_), Place::Found(other)) => Err(Failure::new(
                Code::Conflict,
                format!(
                    "{to:?} has a file share already, {}; nothing was renamed",
                    other.name
                ),
            )),
            (Place::Found(share), Place::Free(_)) => {
                self.shares
                    .mark(&share.name, &metadata(&new), deadline)
                    .await?;
                Ok(answer(share.name, false))
            }
            (Place::Free(_), Place::Free(_)) => self.show(owner, deadline).await,
        }
    }

    /// Removes the person's share with all that is in it, and their identity; what is gone already is a success.
    ///
    /// # Errors
    /// As `ensure`.
    pub async fn delete(&self, owner: &Owner, deadline: Instant) -> Result<Share, Failure> {
        match self.place(owner, deadline).await? {
            Place::Free(name) => Ok(answer(name, false)),
            Place::Found(share) => {
                self.shares.delete(&share.name, deadline).await?;
                access::remove(self.arm, self.storage, &share.name, deadline).await?;
                Ok(answer(share.name, false))
            }
        }
    }

    /// Whether the account answers; nothing is made.
    ///
    /// # Errors
    /// Whatever keeps Azure from telling.
    pub async fn check(&self, deadline: Instant) -> Result<(), Failure> {
        Ok(self.shares.check(deadline).await?)
    }

    /// What opens these shares from the person's server, and nothing else; `home` is the name of the person's own, or what it
    /// would be. May be repeated.
    ///
    /// # Errors
    /// Whatever kept Azure from making the identity or its roles.
    pub async fn access(
        &self,
        home: &str,
        shares: &[String],
        deadline: Instant,
    ) -> Result<Access, Failure> {
        access::ensure(self.arm, self.storage, home, shares, deadline).await
    }

    /// By its name, and else by its marks: a renamed person's share keeps its name.
    async fn place(&self, owner: &Owner, deadline: Instant) -> Result<Place, Failure> {
        let first = owner.name(1);
        let taken = match self.shares.get(&first, deadline).await? {
            Some(share) if self.is_theirs(owner, &share)? => return Ok(Place::Found(share)),
            other => other.is_some(),
        };
        let all = self.shares.list(deadline).await?;
        if let Some(share) = self.marked(owner, &all, deadline).await? {
            return Ok(Place::Found(share));
        }
        if !taken {
            return Ok(Place::Free(first));
        }
        (2..=MOST_NAMES)
            .map(|nth| owner.name(nth))
            .find(|name| !all.iter().any(|share| share.name == *name))
            .map(Place::Free)
            .ok_or_else(|| {
                Failure::new(
                    Code::Conflict,
                    format!("too many shares are called like {first}"),
                )
            })
    }

    /// The share among `all` that is marked as the person's. Where the list tells no marks, each of ours is asked.
    async fn marked(
        &self,
        owner: &Owner,
        all: &[FileShare],
        deadline: Instant,
    ) -> Result<Option<FileShare>, Failure> {
        let ours = all.iter().filter(|share| share.name.starts_with("cs-"));
        let asked = ours.map(|share| async move {
            if share.metadata().is_some() {
                return Ok(Some(share.clone()));
            }
            self.shares.get(&share.name, deadline).await
        });
        let mut whole = stream::iter(asked.collect::<Vec<_>>()).buffered(CALLS_AT_ONCE);
        while let Some(share) = whole.next().await {
            // One without marks of ours is nobody's business here.
            let Some(share) = share?.filter(|share| share.mark(&identifier(HUB)).is_some()) else {
                continue;
            };
            if self.is_theirs(owner, &share)? {
                return Ok(Some(share));
            }
        }
        Ok(None)
    }

    fn is_theirs(&self, owner: &Owner, share: &FileShare) -> Result<bool, Failure> {
        let what = format!("file share {} of {}", share.name, self.storage.account);
        owner.owns(&what, |mark| share.mark(&identifier(mark)))
    }
}

fn answer(name: String, created: bool) -> Share {
    Share {
        name,
        kind: KIND.to_owned(),
        created,
    }
}

/// Names of metadata are C# identifiers ("Naming and referencing shares, directories, files, and metadata").
fn identifier(mark: &str) -> String {
    mark.replace('-', "_")
}

fn metadata(owner: &Owner) -> Vec<(String, String)> {
    let marks = owner.marks();
    debug_assert_eq!(
        marks.each_ref().map(|(name, _)| *name),
        [HUB, STORAGE_ID, USER]
    );
    marks
        .into_iter()
        .map(|(name, value)| (identifier(name), value))
        .collect()
}
