//! The action types of partners that AWS lists beside its own. CodePipeline does not carry them out and neither does a
//! provider here: the partner's job worker asks for their jobs (`towpath worker http` is one for all of them). What
//! configures them is not published, so every key is taken; UpdateActionType replaces a type by what its partner says.

use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;

const GUIDE: &str = "https://docs.aws.amazon.com/codepipeline/latest/userguide/";

struct Partner {
    category: Category,
    provider: &'static str,
    description: &'static str,
    inputs: Bounds,
    outputs: Bounds,
    page: &'static str,
    /// The partner's page of a run, where its form is publicly known.
    run: Option<&'static str>,
}

/// What is tested may be an artifact or a deployed system; a report may be written or not.
const ANY: Bounds = Bounds::new(0, 5);

static PARTNERS: [Partner; 6] = [
    Partner {
        category: Category::Test,
        provider: "BlazeMeter",
        description: "Runs a performance test of BlazeMeter, by a job worker.",
        inputs: ANY,
        outputs: ANY,
        page: "integrations-action-type.html",
        run: Some("https://a.blazemeter.com/app/#/masters/{ExternalExecutionId}/summary"),
    },
    Partner {
        category: Category::Test,
        provider: "GhostInspector",
        description: "Runs a browser test suite of Ghost Inspector, by a job worker.",
        inputs: ANY,
        outputs: ANY,
        page: "integrations-action-type.html",
        run: Some("https://app.ghostinspector.com/suite-results/{ExternalExecutionId}"),
    },
    Partner {
        category: Category::Test,
        provider: "Nouvola",
        description: "Runs a load test plan of Nouvola DiveCloud, by a job worker.",
        inputs: ANY,
        outputs: ANY,
        page: "integrations-action-type.html",
        run: None,
    },
    Partner {
        category: Category::Test,
        provider: "Runscope",
        description: "Runs an API test of Runscope, by a job worker.",
        inputs: ANY,
        outputs: ANY,
        page: "integrations-action-type.html",
        run: Some("https://www.runscope.com/radar/{ExternalExecutionId}"),
    },
    Partner {
        category: Category::Invoke,
        provider: "Snyk",
        description: "Has the dependencies in an artifact tested by Snyk, by a job worker.",
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(1, 1),
        page: "action-reference-Snyk.html",
        run: None,
    },
    Partner {
        category: Category::Test,
        provider: "StormRunnerLoad",
        description: "Runs a load test of Micro Focus StormRunner Load (OpenText LoadRunner Cloud), by a job worker.",
        inputs: ANY,
        outputs: ANY,
        page: "integrations-action-type.html",
        run: Some("https://loadrunner-cloud.saas.microfocus.com/run-overview/{ExternalExecutionId}/dashboard/"),
    },
];

pub fn entries() -> impl Iterator<Item = ActionTypeEntry> {
    PARTNERS.iter().map(|partner| ActionTypeEntry {
        id: ActionTypeId::new(partner.category, Owner::ThirdParty, partner.provider, "1"),
        description: partner.description.to_owned(),
        properties: Vec::new(),
        inputs: partner.inputs,
        outputs: partner.outputs,
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        // A job is acknowledged by one worker; whether its work is done twice is for the worker.
        repeat: Repeat::AtLeastOnce,
        entity_url_template: None,
        execution_url_template: partner.run.map(ToOwned::to_owned),
        revision_url_template: None,
        executor: Executor::JobWorker,
        artifact_suffix: None,
        documentation: format!("{GUIDE}{}", partner.page),
    })
}
