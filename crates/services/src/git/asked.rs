//! What a git client asks for: one of the three URLs of smart HTTP below a repository's own.

use http::Method;
use http::request::Parts;

/// The program of git's that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitService {
    /// Fetch and clone.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl GitService {
    pub const fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::UploadPack, Self::ReceivePack].into_iter().find(|service| service.name() == name)
    }
}

/// A request below a repository's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The repository's path, as it was sent: `/v1/repos/demo`.
    pub repository: String,
    pub service: GitService,
    /// The list of refs that comes first; otherwise the exchange that follows.
    pub advertisement: bool,
}

impl Asked {
    /// Reads a request's method and URL. None: it is not one of smart HTTP's, such as one of the older protocol, which is
    /// not served.
    pub fn read(parts: &Parts) -> Option<Self> {
        let path = parts.uri.path();
        if let Some(repository) = path.strip_suffix("/info/refs") {
            if parts.method != Method::GET {
                return None;
            }
            let query = parts.uri.query().unwrap_or_default();
            let service = query.split('&').find_map(|pair| pair.strip_prefix("service="))?;
            return Some(Self {
                repository: repository.to_owned(),
                service: GitService::of(service)?,
                advertisement: true,
            });
        }
        let (repository, name) = path.rsplit_once('/')?;
        let service = GitService::of(name)?;
        (parts.method == Method::POST).then(|| Self {
            repository: repository.to_owned(),
            service,
            advertisement: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, uri: &str) -> Option<Asked> {
        Asked::read(&http::Request::builder().method(method).uri(uri).body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn three_urls_are_smart_http() {
        let asked =
            |service, advertisement| Some(Asked { repository: "/v1/repos/demo".to_owned(), service, advertisement });
        let found = read("GET", "/v1/repos/demo/info/refs?service=git-upload-pack");
        assert_eq!(found, asked(GitService::UploadPack, true));
        let found = read("GET", "/v1/repos/demo/info/refs?x=1&service=git-receive-pack");
        assert_eq!(found, asked(GitService::ReceivePack, true));
        assert_eq!(read("POST", "/v1/repos/demo/git-upload-pack"), asked(GitService::UploadPack, false));
        assert_eq!(read("POST", "/v1/repos/demo/git-receive-pack"), asked(GitService::ReceivePack, false));
        for (method, uri) in [
            ("GET", "/v1/repos/demo/info/refs"),
            ("GET", "/v1/repos/demo/info/refs?service=git-upload-archive"),
            ("POST", "/v1/repos/demo/info/refs?service=git-upload-pack"),
            ("GET", "/v1/repos/demo/git-upload-pack"),
            ("GET", "/v1/repos/demo/HEAD"),
            ("GET", "/v1/repos/demo/objects/info/packs"),
            ("POST", "/v1/repos/demo"),
        ] {
            assert_eq!(read(method, uri), None, "{method} {uri}");
        }
    }
}
