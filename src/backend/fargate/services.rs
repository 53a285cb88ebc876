//! The services of AWS beside ECS that some settings need: each is opened when it is first asked, in the account and region of the
//! ECS that it goes with.

use crate::backend::Surroundings;
use crate::cloud::aws::{Account, AccountSettings, JsonService, ServiceId, ServiceName};
use crate::error::Failure;
use tokio::sync::OnceCell;

/// Whose services, and how to reach them.
#[derive(Clone)]
pub struct Opener {
    /// Clock, door and quotas.
    pub surroundings: Surroundings,
    /// Credentials and region; an endpoint is ECS's own and not taken.
    pub account: AccountSettings,
    /// Tells credentials apart without showing them.
    pub whose: String,
}

impl Opener {
    /// One service; nobody is asked yet.
    ///
    /// # Errors
    /// `invalid_config` where region or endpoint are not good.
    pub async fn open(
        &self,
        account: &AccountSettings,
        id: ServiceId,
        name: ServiceName,
    ) -> Result<JsonService, Failure> {
        let Surroundings {
            context,
            door,
            limiter,
            ..
        } = self.surroundings.clone();
        let account = Account::open(account, id, door.clone()).await?;
        let scope = format!("{} {} {}", account.endpoint, account.region, self.whose);
        Ok(JsonService {
            name,
            account,
            scope,
            door,
            limiter,
            context,
        })
    }
}

/// A service that is opened once.
pub struct Later {
    opener: Opener,
    id: ServiceId,
    name: ServiceName,
    opened: OnceCell<JsonService>,
}

impl Later {
    /// Opens nothing yet.
    pub fn new(opener: &Opener, region: &str, id: ServiceId, name: ServiceName) -> Self {
        let account = AccountSettings {
            region: Some(region.to_owned()),
            endpoint_url: None,
            ..opener.account.clone()
        };
        Self {
            opener: Opener {
                account,
                ..opener.clone()
            },
            id,
            name,
            opened: OnceCell::new(),
        }
    }

    /// The service.
    ///
    /// # Errors
    /// As `Opener::open`.
    pub async fn service(&self) -> Result<&JsonService, Failure> {
        let opening = || self.opener.open(&self.opener.account, self.id, self.name);
        self.opened.get_or_try_init(opening).await
    }
}
