//! `komainu serve`: the assembly. What every part needs is made here, once, and handed in; nothing else is global.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use komainu_api::{Api, ApiConfig, ApiParts, ControlPlane, ControlRules, RecordedSessions, Server};
use komainu_console::{Accounts, ConsoleParts, ThreatParts, TlsCertificate};
use komainu_detect::ValidationRules;
use komainu_engines::{
    CourierConfig, CourierSet, DataFolder, LocalAuthority, SmtpConfig, SmtpLogin, SqliteAccountStore,
    SqliteSessionStore, SqliteStore, WebhookConfig,
};
use komainu_gateway::{EdgeLimits, Gateway, GatewayConfig, GatewayPorts, Limits};
use komainu_lab::Intake;
use komainu_lake::ParquetLake;
use komainu_model::{AccessKeyNote, AccountId, EgressRules, Language, Region, Role, Scope};
use komainu_pipeline::{Indicators, Pipeline, PipelineConfig, PipelinePorts};
use komainu_ports::{
    AccessKeys, AccountLimits, ChangeObserver, Clock, IdSource, IndicatorStore, LakeFeed, OwnAddresses, RandomIds,
    SampleStore, SensorArtifacts, Store, SystemClock,
};
use komainu_respond::RespondRules;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin;
use crate::config::{Config, Listen, MailLanguage, SmtpTls};
use crate::console;
use crate::guest::{self, Guest};
use crate::hub::{self, Handed};
use crate::indicators;
use crate::laboratory;
use crate::lake_demo::ServedLakes;
use crate::lake_keeper::{self, LakeKeeper};
use crate::late_broker::LateBroker;
use crate::metrics::MetricsServer;
use crate::operator::Operator;
use crate::output::{Output, TellingLake};
use crate::publications::PublicationFiles;
use crate::traces::Telling;
use crate::vital_signs::{self, Body};

/// What to do when the data folder is taken.
pub(crate) const LOCK_HINT: &str =
    "cannot use the data folder (is another komainu running on it? choose another with --data)";

/// How long API requests that are being answered may take when the server stops.
const API_GRACE: Duration = Duration::from_secs(5);
/// How long one mail may take.
const SMTP_TIMEOUT: Duration = Duration::from_secs(30);
/// The mail server's port when none is given.
const SMTP_PORT: u16 = 25;

/// What the server and the local operator's commands stand on: state, history, certificate authority, operations.
#[derive(Clone)]
pub(crate) struct Foundation {
    pub(crate) scope: Scope,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lake_feed: Arc<dyn LakeFeed>,
    pub(crate) authority: Arc<LocalAuthority>,
    pub(crate) control: Arc<ControlPlane>,
    pub(crate) indicators: Arc<Indicators>,
    pub(crate) threat: ThreatParts,
    pub(crate) artifacts: Arc<dyn SensorArtifacts>,
    pub(crate) samples: Arc<dyn SampleStore>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) lake: Arc<ParquetLake>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) api: Arc<Api>,
    pub(crate) broker: Arc<LateBroker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
}

impl Foundation {
    /// Opens what is in the data folder, or makes it. What sensors tell of attacks is told to `output` as well.
    pub(crate) fn lay(config: &Config, folder: &DataFolder, output: Option<&Arc<Output>>) -> anyhow::Result<Self> {
        let account = AccountId::parse(&config.account.id).context("account.id")?;
        let region = Region::parse(&config.account.region).context("account.region")?;
        let scope = Scope { account: account.clone(), region };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn IdSource> = Arc::new(RandomIds);
        let sqlite = Arc::new(SqliteStore::open(&folder.file("komainu.db")).context("cannot open the store")?);
        let own = Arc::new(OwnAddresses::default());
        let indicators = indicators::open(config, &config.public.hosts, sqlite.clone(), own.clone())?;
        let lake_feed: Arc<dyn LakeFeed> = sqlite.clone();
        let shelf: Arc<dyn IndicatorStore> = sqlite.clone();
        let store: Arc<dyn Store> = sqlite;
        let authority = Arc::new(
            LocalAuthority::open(&folder.file("authority"), clock.now())
                .context("cannot open the certificate authority")?,
        );
        let rules = ControlRules {
            account,
            behaviors: ValidationRules { short_windows_allowed: config.detect.short_windows },
            notifications: RespondRules { egress: egress(config), ..RespondRules::default() },
        };
        let control = ControlPlane::open(rules, store.clone(), clock.clone(), ids.clone())
            .context("cannot load the control plane's state")?;
        let broker = Arc::new(LateBroker::default());
        let Handed { records, artifacts, captures, samples } = hub::open(&config.hub, folder)?;
        let intake = Intake::new(samples.clone(), clock.clone());
        let lake = lake_keeper::open(folder)?;
        let accounts = SqliteAccountStore::open(&folder.file("accounts.db"), AccountLimits::default())
            .context("cannot open the accounts of the console")?;
        let console_url = config.console.url(&config.public.hosts[0]);
        let rule = config.console.oidc.password_rule();
        let accounts = Accounts::new(Arc::new(accounts), clock.clone(), ids.clone(), console_url, rule);
        let api = Api::new(ApiParts {
            config: ApiConfig { device_endpoint: config.public.hosts[0].clone(), region: scope.region.clone() },
            control: control.clone(),
            store: store.clone(),
            records: records.clone(),
            artifacts: artifacts.clone(),
            indicators: shelf.clone(),
            captures: captures.clone(),
            lake: match output {
                Some(output) => Arc::new(TellingLake { lake: lake.clone(), output: output.clone() }),
                None => lake.clone(),
            },
            samples: samples.clone(),
            intake: intake.clone(),
            own,
            broker: broker.clone(),
            authority: authority.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        });
        Ok(Self {
            scope,
            store,
            lake_feed,
            authority,
            control,
            indicators: indicators.clone(),
            threat: ThreatParts {
                sessions: Arc::new(RecordedSessions::new(records.clone())),
                roll: api.clone(),
                records,
                captures,
                artifacts: artifacts.clone(),
                samples: samples.clone(),
                intake: intake.clone(),
                indicators: shelf,
                sink: indicators.clone(),
            },
            artifacts,
            samples,
            intake,
            lake,
            accounts,
            api,
            broker,
            clock,
            ids,
        })
    }
}

/// Runs the server until SIGTERM or SIGINT.
///
/// Spans of what it does are told by `telling`, until the very end.
pub(crate) async fn serve(config: Config, data: &Path, mut telling: Option<Telling>) -> anyhow::Result<()> {
    if let Some(telling) = &mut telling {
        telling.run();
    }
    let folder = DataFolder::open(data).context(LOCK_HINT)?;
    let (output, writers) = Output::open(&config.output)?.unzip();
    let foundation = Foundation::lay(&config, &folder, output.as_ref())?;
    let observers = output.iter().map(|output| output.clone() as Arc<dyn ChangeObserver>).collect();
    let of_operator = foundation.clone();
    let Foundation {
        scope,
        store,
        lake_feed,
        authority,
        control,
        indicators,
        threat,
        artifacts,
        samples,
        intake,
        lake,
        accounts,
        api,
        broker,
        clock,
        ids,
    } = foundation;
    let mut stop = Stop::listen()?;

    // Listeners open before anything is announced, so that a taken port is an error and not a surprise.
    let api_listener = TcpListener::bind(config.listen.api)
        .await
        .with_context(|| format!("cannot listen on {} for the control plane (--api)", config.listen.api))?;
    let api_address = api_listener.local_addr().context("cannot tell where the control plane listens")?;
    let public_url = config.public.url.clone().unwrap_or_else(|| format!("http://{api_address}"));
    let tls = tls_address(&config.listen).await?;

    let courier = CourierSet::new(courier_config(&config, &public_url)?, authority.clone())
        .context("cannot prepare the delivery of messages")?;
    let pipeline = Pipeline::start(
        PipelineConfig::default(),
        PipelinePorts {
            store: store.clone(),
            directory: control.clone(),
            router: control.clone(),
            outbox: control.outbox(),
            broker: broker.clone(),
            courier: Arc::new(courier),
            clock: clock.clone(),
            indicators: indicators.clone(),
            lake_feed,
            lake: lake.clone(),
            observers,
        },
    )
    .await
    .context("cannot start detection")?;
    let http = Server::new(api.clone());
    let sessions = SqliteSessionStore::open(&folder.file("sessions.db")).context("cannot open the session store")?;
    let hosts: Vec<String> = config.public.hosts.iter().cloned().chain(guest::extra_host(&config)).collect();
    let certificate = authority.server_certificate(&hosts, clock.now()).context("public.hosts cannot be certified")?;
    let (statistics, of_files) = (config.statistics.clone(), clock.clone());
    let publications = tokio::task::spawn_blocking(move || PublicationFiles::open(&statistics, of_files))
        .await
        .context("cannot read the files about publications")?;
    let gateway = Gateway::start(
        GatewayConfig {
            scope: scope.clone(),
            mqtts: Some(config.listen.mqtts),
            tls,
            plain_test: config.listen.insecure_plain_mqtt,
            server_certificate: komainu_gateway::ServerCertificate {
                chain_pem: certificate.chain_pem.clone(),
                key_pem: certificate.key_pem.clone(),
            },
            edge: EdgeLimits { connections_max: config.gateway.connections_max, ..EdgeLimits::default() },
            broker: broker_limits(&config)?,
        },
        GatewayPorts {
            directory: control.clone(),
            sessions: Arc::new(sessions),
            reports: pipeline.clone(),
            http: http.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        },
    )
    .await
    .context("cannot start the gateway")?;
    // At once: devices are let in already, and their reports are answered by the broker.
    broker.become_broker(gateway.clone());
    control.observe(gateway.clone());
    let operator = Operator::of_server(of_operator, publications.clone(), folder.path());
    // Whoever reaches the gateway can be answered from now on; what follows takes some tenths of a second.
    let admin = tokio::spawn(admin::run(admin::listen(folder.path())?, operator));
    let listening = tokio::spawn(http.clone().listen(api_listener));
    let feeding_lake = tokio::spawn(http.clone().feed_lake());
    let keeper = LakeKeeper::start(&config.lake, lake.clone(), clock.clone());
    let body = Arc::new(Body {
        scope: scope.clone(),
        config: config.clone(),
        data: folder.path().to_owned(),
        started_at: clock.now(),
        listeners: OnceLock::new(),
        store: store.clone(),
        accounts: accounts.clone(),
        threat: threat.clone(),
        lake: lake.clone(),
        lake_keeper: keeper.vitals(),
        indicators: indicators.clone(),
        api: api.clone(),
        gateway: gateway.clone(),
        pipeline: pipeline.clone(),
        output: output.clone(),
    });
    let console_certificate = TlsCertificate { chain_pem: certificate.chain_pem, key_pem: certificate.key_pem };
    let parts = ConsoleParts {
        accounts,
        lakes: Arc::new(ServedLakes::new(lake.clone(), folder.path())),
        scope: scope.clone(),
        history: store.clone(),
        fleet: control.clone(),
        presence: broker.clone(),
        profiles: control.clone(),
        topics: control.clone(),
        threat,
        publications: publications.clone(),
        keys: control.clone(),
        vitals: body.clone(),
        sign_in: config.console.oidc.open().context("cannot use the OpenID provider (console.oidc)")?,
        clock: clock.clone(),
        ids: ids.clone(),
        cookies: config.console.cookies(),
        proxies: config.console.proxies.clone(),
    };
    let console = match config.console.run {
        true => console::open(&config.console, &config.public.hosts[0], parts, &console_certificate).await?,
        false => None,
    };
    let metrics = match config.listen.metrics {
        Some(address) => Some(metrics_server(address, body.clone(), clock.clone()).await?),
        None => None,
    };

    let mut announcement = Announcement { data, url: format!("http://{api_address}"), lines: Vec::new() };
    announcement.listeners(&config, api_address, gateway.local_addrs());
    let console = console.map(|(console, says)| {
        announcement.lines.extend(says);
        console
    });
    if let Some(metrics) = &metrics {
        announcement.lines.push(format!("  metrics        http://{}/metrics", metrics.address));
    }
    let (of_console, of_metrics) =
        (console.as_ref().map(|console| console.address), metrics.as_ref().map(|metrics| metrics.address));
    body.listening(vital_signs::listeners(&config, api_address, gateway.local_addrs(), of_console, of_metrics));
    announcement.lines.extend(publications.says());
    let reading_publications = publications.watch();
    announcement.first_key(&control, &scope)?;
    let guest = match (config.sensor.run_in_serve, gateway.local_addrs().tls) {
        (false, _) => None,
        (true, Some(hub)) => {
            announcement.lines.push(format!("  sensor         {}", config.sensor.personas.join(", ")));
            Some(
                Guest::start(&config, data, hub, &api, &scope)
                    .context("cannot run the sensor (sensor.run_in_serve)")?,
            )
        }
        (true, None) => bail!("sensor.run_in_serve needs the listener by ALPN: choose an address with --tls"),
    };
    let laboratory = if config.lab.run {
        let given = laboratory::Given { store: samples, intake, artifacts, indicators, clock };
        let (laboratory, says) =
            laboratory::open(&config, given).await.context("cannot open the laboratory (lab.run)")?;
        announcement.lines.push(format!("  laboratory     {says}"));
        Some(laboratory)
    } else {
        None
    };
    announcement.print()?;

    stop.wait().await;
    tracing::info!("stopping");
    if let Some(guest) = guest {
        // First of all, so that its last records find the hub.
        guest.shutdown().await;
    }
    if let Some(laboratory) = laboratory {
        laboratory.shutdown().await;
    }
    if let Some(metrics) = metrics {
        metrics.end();
    }
    if let Some(console) = console {
        console.shutdown(API_GRACE).await;
    }
    reading_publications.abort();
    admin.abort();
    http.stop(API_GRACE).await;
    listening.abort();
    if let Err(error) = feeding_lake.await {
        tracing::error!(%error, "the lake was not fed to the end");
    }
    gateway.shutdown().await;
    pipeline.shutdown().await;
    keeper.shutdown().await;
    if let (Some(output), Some(writers)) = (output, writers) {
        output.close();
        writers.end().await;
    }
    if let Some(telling) = telling {
        telling.end().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Opens the listener for those who collect metrics.
async fn metrics_server(
    address: SocketAddr,
    vitals: Arc<Body>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<MetricsServer> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for metrics (--metrics)"))?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "metrics are for whoever reaches this address: nobody signs in there (docs/metrics.md)");
    }
    MetricsServer::start(listener, vitals, clock)
}

/// What is printed when everything listens.
struct Announcement<'a> {
    data: &'a Path,
    /// Where the control plane is reached from this machine.
    url: String,
    lines: Vec<String>,
}

impl Announcement<'_> {
    fn listeners(&mut self, config: &Config, api: SocketAddr, gateway: komainu_gateway::LocalAddrs) {
        let or_none = |address: Option<SocketAddr>| address.map_or("not listening".to_owned(), |at| at.to_string());
        self.lines.push(format!("komainu {} on {}", env!("CARGO_PKG_VERSION"), self.data.display()));
        self.lines.push(format!("  control plane  http://{api}"));
        self.lines.push(format!("  mqtt over tls  {}", or_none(gateway.mqtts)));
        self.lines.push(format!("  tls by alpn    {}", or_none(gateway.tls)));
        if let Some(plain) = gateway.plain_test {
            self.lines.push(format!("  INSECURE mqtt  {plain}: no encryption, no authentication, for tests only"));
        }
        let mail = config.smtp.server.as_deref().unwrap_or("no mail server: mail waits until --smtp is given");
        self.lines.push(format!("  mail           {mail}"));
        if config.intel.documentation_addresses {
            let warning =
                "addresses of documents may be indicators (intel.documentation_addresses): for demonstrations";
            self.lines.push(format!("  indicators     {warning}"));
        }
    }

    /// Makes the first operator's access key when there is none, and shows it this once.
    fn first_key(&mut self, control: &ControlPlane, scope: &Scope) -> anyhow::Result<()> {
        if !control.list().is_empty() {
            return Ok(());
        }
        let note = AccessKeyNote::parse("made at the first start").context("cannot make the first access key")?;
        let key = control.create(Role::Admin, note).context("cannot make the first access key")?;
        self.lines.push("first start: this is the operator's access key; the secret is not shown again".to_owned());
        self.lines.push(format!("  export AWS_ACCESS_KEY_ID={}", key.id));
        self.lines.push(format!("  export AWS_SECRET_ACCESS_KEY={}", key.secret.expose()));
        self.lines.push(format!("  export AWS_DEFAULT_REGION={}", scope.region));
        self.lines.push(format!("  export AWS_ENDPOINT_URL={}", self.url));
        Ok(())
    }

    fn print(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}\nready", self.lines.join("\n"))
            .and_then(|()| out.flush())
            .context("cannot write to standard output")
    }
}

/// The signals that end the server.
pub(crate) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Where to listen with ALPN. The default port is one that ordinary users may not open: then the server says what to
/// do and runs without. An address that somebody asked for must open.
async fn tls_address(listen: &Listen) -> anyhow::Result<Option<SocketAddr>> {
    if listen.tls != Listen::default().tls {
        return Ok(Some(listen.tls));
    }
    match TcpListener::bind(listen.tls).await {
        Ok(_) => Ok(Some(listen.tls)),
        Err(error) => {
            tracing::warn!(
                address = %listen.tls,
                %error,
                "not listening for TLS by ALPN, which AWS's current agent needs; \
                 allow it with `setcap cap_net_bind_service=+ep` or choose an address with --tls (docs/configuration.md)"
            );
            Ok(None)
        }
    }
}

fn broker_limits(config: &Config) -> anyhow::Result<Limits> {
    let defaults = Limits::default();
    let Ok(payload_bytes_max) = u32::try_from(config.gateway.payload_bytes_max) else {
        bail!("gateway.payload_bytes_max is {}: at most {} can be allowed", config.gateway.payload_bytes_max, u32::MAX)
    };
    // A packet is its payload, its topic and its properties; what the defaults leave for the latter stays.
    let besides_payload = defaults.packet_bytes_max - defaults.payload_bytes_max;
    let publishes_per_s_max = config.gateway.publishes_per_s_max;
    Ok(Limits {
        publishes_per_s_max,
        payload_bytes_max,
        packet_bytes_max: payload_bytes_max.saturating_add(besides_payload),
        ..defaults
    })
}

fn courier_config(config: &Config, public_url: &str) -> anyhow::Result<CourierConfig> {
    let smtp = match &config.smtp.server {
        Some(server) => Some(smtp_config(config, server)?),
        None => None,
    };
    let webhook = WebhookConfig {
        egress: egress(config),
        extra_roots_file: config.webhook.extra_roots_file.clone(),
        ..WebhookConfig::default()
    };
    Ok(CourierConfig { public_url: public_url.to_owned(), smtp, webhook })
}

fn smtp_config(config: &Config, server: &str) -> anyhow::Result<SmtpConfig> {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse().with_context(|| format!("smtp.server {server:?}: {port:?} is not a port"))?;
            (host.trim_start_matches('[').trim_end_matches(']'), port)
        }
        None => (server, SMTP_PORT),
    };
    let login = match (&config.smtp.user, &config.smtp.password_file) {
        (Some(user), Some(password_file)) => {
            Some(SmtpLogin { user: user.clone(), password_file: password_file.clone() })
        }
        (None, None) => None,
        _ => bail!("smtp.user and smtp.password_file belong together: give both or none"),
    };
    Ok(SmtpConfig {
        host: host.to_owned(),
        port,
        tls: match config.smtp.tls {
            SmtpTls::None => komainu_engines::SmtpTls::None,
            SmtpTls::Starttls => komainu_engines::SmtpTls::StartTls,
            SmtpTls::Tls => komainu_engines::SmtpTls::Tls,
        },
        login,
        from: config.smtp.from.clone(),
        language: match config.smtp.language {
            MailLanguage::English => Language::English,
            MailLanguage::Japanese => Language::Japanese,
        },
        extra_roots_file: config.smtp.extra_roots_file.clone(),
        timeout: SMTP_TIMEOUT,
    })
}

/// Where webhooks may be.
fn egress(config: &Config) -> EgressRules {
    EgressRules { link_local: config.webhook.allow_link_local, ..EgressRules::default() }
}
