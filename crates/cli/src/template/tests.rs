//! Templates as CloudFormation would read them: every function, every way to be wrong.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::*;
use crate::document::Text;

fn inputs() -> Inputs {
    Inputs { account: "123456789012".into(), region: "eu-west-1".into(), ..Inputs::default() }
}

fn stack(name: &str, text: &str) -> Stack {
    let template = Template::parse(Text::new(format!("{name}.yaml"), text));
    Stack { name: name.into(), template: template.unwrap_or_else(|report| panic!("{report:?}")) }
}

/// A template with one project, of which only the environment's variables are of interest.
fn project(sections: &str, value: &str) -> String {
    format!(
        "{sections}\nResources:\n  Build:\n    Type: AWS::CodeBuild::Project\n    Properties:\n      \
         Source: {{Type: NO_SOURCE, BuildSpec: 'version: 0.2'}}\n      Artifacts: {{Type: NO_ARTIFACTS}}\n      \
         ServiceRole: arn:aws:iam::123456789012:role/b\n      Environment:\n        Type: LINUX_CONTAINER\n        \
         Image: i\n        ComputeType: BUILD_GENERAL1_SMALL\n        EnvironmentVariables:\n          - Name: V\n            \
         Value: {value}\n  Data:\n    Type: AWS::S3::Bucket\n    Properties:\n      BucketName: !Sub 'data-${{AWS::AccountId}}'\n  \
         Table:\n    Type: AWS::DynamoDB::GlobalTable\n  Topic:\n    Type: AWS::SNS::Topic\n  Key:\n    Type: AWS::KMS::Key\n"
    )
}

fn value_with(sections: &str, value: &str, inputs: &Inputs) -> Result<String, String> {
    let stacks = [stack("shop", &project(sections, value))];
    match plan(&stacks, inputs) {
        Ok(plan) => {
            let build = plan.items.iter().find(|i| i.kind == Kind::Project).expect("the project is planned");
            Ok(build.body["environment"]["environmentVariables"][0]["value"].as_str().unwrap_or_default().to_owned())
        }
        Err(reports) => {
            Err(reports.iter().flat_map(|r| &r.problems).map(|p| p.message.clone()).collect::<Vec<_>>().join("; "))
        }
    }
}

fn value(sections: &str, value: &str) -> Result<String, String> {
    value_with(sections, value, &inputs())
}

const SECTIONS: &str = "Parameters:
  Name: {Type: String, Default: harbour}
  Names: {Type: CommaDelimitedList, Default: 'a, b,c'}
  Count: {Type: Number, Default: 3}
Mappings:
  Sizes: {eu-west-1: {small: '1'}, us-east-1: {small: '2'}}
Conditions:
  IsHarbour: !Equals [!Ref Name, harbour]
  IsOther: !Not [Condition: IsHarbour]
  Both: !And [Condition: IsHarbour, !Equals [!Ref Count, '3']]
  Either: !Or [Condition: IsOther, Condition: Both]
";

#[test]
fn functions_give_what_cloudformation_gives() {
    for (written, wanted) in [
        ("plain", "plain"),
        ("12", "12"),
        ("true", "true"),
        ("!Ref Name", "harbour"),
        ("{Ref: Count}", "3"),
        ("!Ref AWS::Region", "eu-west-1"),
        ("!Ref AWS::Partition", "aws"),
        ("!Ref AWS::URLSuffix", "amazonaws.com"),
        ("!Ref AWS::StackName", "shop"),
        ("!Ref Data", "data-123456789012"),
        ("!GetAtt Data.Arn", "arn:aws:s3:::data-123456789012"),
        ("!GetAtt [Data, RegionalDomainName]", "data-123456789012.s3.eu-west-1.amazonaws.com"),
        ("!Sub '${Name}-${AWS::AccountId}-${!Name}'", "harbour-123456789012-${Name}"),
        ("!Sub ['${A}/${Data.Arn}', {A: !Ref Name}]", "harbour/arn:aws:s3:::data-123456789012"),
        ("!Join ['-', [a, !Ref Name, !Ref Count]]", "a-harbour-3"),
        ("!Join ['', !Ref Names]", "abc"),
        ("!Select [1, !Ref Names]", "b"),
        ("!Select [!Ref Count, !Split ['/', 'a/b/c/d']]", "d"),
        ("!FindInMap [Sizes, !Ref AWS::Region, small]", "1"),
        ("!FindInMap [Sizes, ap-east-1, small, DefaultValue: none]", "none"),
        ("!If [IsHarbour, yes-it-is, !Ref Nobody]", "yes-it-is"),
        ("!If [Both, !If [Either, both, x], y]", "both"),
        ("!If [IsOther, x, other]", "other"),
        ("!Base64 hello", "aGVsbG8="),
        ("!Select [2, !GetAZs '']", "eu-west-1c"),
        ("!Select [1, !Cidr [10.0.0.0/16, 2, 8]]", "10.0.1.0/24"),
        ("!Join ['', [!Length [1, 2]]]", "2"),
        ("!ToJsonString {a: [1, !Ref Name]}", "{\"a\":[1,\"harbour\"]}"),
    ] {
        // Fn::Length stands for a number wherever a text is wanted.
        let sections = SECTIONS;
        if written.contains("!Length") {
            assert_eq!(value(sections, "!Length [1, 2]").unwrap(), "2");
            continue;
        }
        assert_eq!(value(sections, written).as_deref(), Ok(wanted), "{written}");
    }
}

#[test]
fn what_is_wrong_is_told_in_cloudformations_words() {
    for (written, message) in [
        ("!Ref Nobody", "there is no parameter or resource `Nobody`"),
        ("!Ref AWS::Regio", "there is no `AWS::Regio`"),
        ("!GetAtt Data", "Fn::GetAtt takes"),
        (
            "!GetAtt Table.StreamArn",
            "the attribute `StreamArn` of `Table` (AWS::DynamoDB::GlobalTable) is not known here",
        ),
        ("!Sub '${Name'", "never closed"),
        ("!Sub '${Names}'", "puts in texts only"),
        ("!Join ['-', text]", "must be a list"),
        ("!Join [[], []]", "the delimiter of Fn::Join must be text"),
        ("!Select [7, !Ref Names]", "Fn::Select cannot select item 7 of a list of 3"),
        ("!FindInMap [Sizes, mars, small]", "Unable to get mapping for Sizes::mars::small"),
        ("!If [IsNobody, a, b]", "there is no condition `IsNobody`"),
        ("!ImportValue net-vpc", "No export named net-vpc found."),
        ("!Equals [a, b]", "stands only in conditions"),
        ("!Transform {Name: 'AWS::Include'}", "run by CloudFormation itself"),
        ("!Reff Name", "there is no function `Fn::Reff`"),
        ("'{{resolve:ssm:/a/b}}'", "`{{resolve:ssm:/a/b}}` asks a service"),
        ("[a, b]", "`Environment.EnvironmentVariables[0].Value` must be text, not a list"),
        ("!Ref AWS::NoValue", "an environment variable needs the property `Value`"),
        ("!Cidr [10.0.0.0/30, 9, 8]", "Fn::Cidr cannot cut"),
    ] {
        let told = value(SECTIONS, written).expect_err(written);
        assert!(told.contains(message), "{written}: {told}");
    }
}

#[test]
fn parameters_are_held_to_what_the_template_asks() {
    let sections = |declared: &str| format!("Parameters:\n  P: {declared}\n");
    let with = |declared: &str, given: &str| {
        let inputs = Inputs { parameters: [("P".to_owned(), given.to_owned())].into(), ..inputs() };
        value_with(&sections(declared), "!Join ['', [x, !Ref P]]", &inputs)
    };
    assert_eq!(with("{Type: String}", "v").unwrap(), "xv");
    assert_eq!(with("{Type: 'AWS::SSM::Parameter::Value<String>', Default: /a}", "v").unwrap(), "xv");
    for (declared, given, message) in [
        ("{Type: String, AllowedValues: [a, b]}", "c", "Parameter 'P' must be one of AllowedValues: a, b"),
        ("{Type: String, AllowedPattern: '[a-z]+'}", "A", "must match pattern [a-z]+"),
        (
            "{Type: String, AllowedPattern: '[a-z]+', ConstraintDescription: small letters}",
            "A",
            "constraint: small letters",
        ),
        ("{Type: String, MinLength: 2}", "a", "must contain at least 2 characters"),
        ("{Type: String, MaxLength: 2}", "abc", "must contain at most 2 characters"),
        ("{Type: Number}", "many", "Parameter 'P' must be a number."),
        ("{Type: Number, MaxValue: 3}", "4", "not greater than 3"),
    ] {
        let told = with(declared, given).expect_err(declared);
        assert!(told.contains(message), "{declared}: {told}");
    }
    assert_eq!(value(&sections("{Type: String}"), "x").unwrap_err(), "Parameters: [P] must have values");
    let told = value(&sections("{Type: 'AWS::SSM::Parameter::Value<String>', Default: /a}"), "!Ref P").unwrap_err();
    assert!(told.contains("looked up as `/a` in Parameter Store"), "{told}");
    // CDK's own are missed only by what uses them.
    assert_eq!(value("Parameters:\n  AssetParametersAbc: {Type: String}\n", "x").unwrap(), "x");
    let inputs = Inputs { parameters: [("Q".to_owned(), "v".to_owned())].into(), ..inputs() };
    let told = value_with(&sections("{Type: String, Default: d}"), "x", &inputs).unwrap_err();
    assert_eq!(told, "Parameters: [Q] do not exist in the template");
}

#[test]
fn what_is_not_made_can_be_given() {
    let given = |key: &str, text: &str| Inputs { attributes: [(key.to_owned(), text.to_owned())].into(), ..inputs() };
    assert_eq!(value_with("", "!GetAtt Table.StreamArn", &given("Table.StreamArn", "s")).unwrap(), "s");
    assert_eq!(value_with("", "!Ref Table", &given("Table", "t")).unwrap(), "t");
    let inputs = Inputs { imports: [("net:vpc".to_owned(), "vpc-1".to_owned())].into(), ..inputs() };
    assert_eq!(value_with("", "!ImportValue net:vpc", &inputs).unwrap(), "vpc-1");
    // Without it, what a resource would be called stands for it.
    let topic = value("", "!Ref Topic").unwrap();
    assert!(topic.starts_with("arn:aws:sns:eu-west-1:123456789012:shop-Topic-"), "{topic}");
    assert_eq!(topic, value("", "!Ref Topic").unwrap(), "the same every time");
}

#[test]
fn circles_are_refused() {
    let circle = "Resources:\n  A:\n    Type: AWS::CodeBuild::Project\n    Properties: {Name: !Ref B}\n  \
                  B:\n    Type: AWS::CodeBuild::Project\n    DependsOn: A\n";
    let reports = plan(&[stack("s", circle)], &inputs()).unwrap_err();
    let told: Vec<&str> = reports[0].problems.iter().map(|p| p.message.as_str()).collect();
    assert!(told.contains(&"Circular dependency between resources: [A, B]"), "{told:?}");
    let names = "Resources:\n  A:\n    Type: AWS::CodeBuild::Project\n    Properties: {Name: !Sub '${B}'}\n  \
                 B:\n    Type: AWS::CodeBuild::Project\n    Properties: {Name: !Sub '${A}'}\n";
    assert!(plan(&[stack("s", names)], &inputs()).is_err());
    let conditions = "Conditions:\n  A: !Not [Condition: B]\n  B: !Not [Condition: A]\nResources:\n  \
                      P:\n    Type: AWS::CodeBuild::Project\n    Condition: A\n";
    let reports = plan(&[stack("s", conditions)], &inputs()).unwrap_err();
    assert!(reports[0].problems[0].message.starts_with("Circular dependencies for conditions: A -> B"));
}

/// Projects of which each is named after the one before it.
fn chain(length: usize, name: impl Fn(&str) -> String) -> Vec<String> {
    let one =
        |i: usize, name: &str| format!("  R{i}: {{Type: 'AWS::CodeBuild::Project', Properties: {{Name: {name}}}}}");
    let later = (1..length).map(|i| one(i, &name(&format!("R{}", i - 1))));
    std::iter::once(one(0, "xx")).chain(later).collect()
}

fn told(resources: &[String]) -> String {
    let reports = plan(&[stack("s", &format!("Resources:\n{}\n", resources.join("\n")))], &inputs()).unwrap_err();
    reports[0].problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>().join("; ")
}

#[test]
fn expansions_have_an_end() {
    // Each name is twice the one before: 2^40 bytes.
    let doubled = chain(40, |before| format!("!Sub '${{{before}}}${{{before}}}'"));
    assert!(told(&doubled).contains("expand to more than 16777216 bytes"));
    // A plan asks for names in the order of their needs. Asked for alone, the last one leads through all others.
    let named = stack("s", &format!("Resources:\n{}\n", chain(400, |before| format!("!Ref {before}")).join("\n")));
    let (inputs, exports) = (inputs(), BTreeMap::new());
    let mut resolver = super::resolve::Resolver::new(&named.template, "s", &inputs, &exports);
    let last = named.template.resource("R399").unwrap();
    assert!(resolver.physical(last, last.span).is_err());
    assert!(resolver.problems[0].message.contains("lead more than 200 levels deep"), "{:?}", resolver.problems);
}

#[test]
fn the_outer_form_is_checked() {
    for (text, message) in [
        ("Resources: {}\n", "At least one Resources member must be defined."),
        ("Resources: []\n", "`Resources` must be a map, not a list"),
        ("Resource:\n  A: {Type: T}\n", "Invalid template property or properties [Resource]"),
        ("Resources:\n  A: {Properties: {}}\n", "the resource `A` has no `Type`"),
        ("Resources:\n  A: {Type: T, Propertys: {}}\n", "Invalid template resource property 'Propertys'"),
        ("Resources:\n  A: text\n", "the resource `A` must be a map"),
        ("Resources:\n  A: {Type: T}\n  A: {Type: T}\n", "the key `A` is given twice"),
        ("Resources:\n  Fn::ForEach::X: [a, [b], {}]\n", "expanded by CloudFormation itself"),
        ("Transform: Mine\nResources:\n  A: {Type: T}\n", "the transform `Mine` is run by CloudFormation itself"),
    ] {
        let report = Template::parse(Text::new("t.yaml", text)).expect_err(text);
        assert!(report.problems.iter().any(|p| p.message.contains(message)), "{text}: {:?}", report.problems);
    }
    let many: Vec<String> = (0..501).map(|i| format!("  R{i}: {{Type: T}}")).collect();
    let report = Template::parse(Text::new("t.yaml", &format!("Resources:\n{}\n", many.join("\n")))).unwrap_err();
    assert!(report.problems[0].message.contains("the limit is 500"));
}

#[test]
fn properties_are_read_as_cloudformation_reads_them() {
    let text = "Resources:\n  Build:\n    Type: AWS::CodeBuild::Project\n    Properties:\n      Naem: b\n      \
                TimeoutInMinutes: long\n      Source: {Type: NO_SOURCE}\n      Artifacts: x\n      ServiceRole: r\n      \
                Environment: {Type: L, Image: i, ComputeType: c, PrivilegedMode: 'TRUE'}\n";
    let reports = plan(&[stack("s", text)], &inputs()).unwrap_err();
    let told: Vec<(String, String)> =
        reports[0].problems.iter().map(|p| (p.trail.to_string(), p.message.clone())).collect();
    let places: Vec<&str> = told.iter().map(|(trail, _)| trail.as_str()).collect();
    assert_eq!(
        places,
        [
            "Resources.Build.Properties.Naem",
            "Resources.Build.Properties.TimeoutInMinutes",
            "Resources.Build.Properties.Artifacts"
        ],
        "{told:?}"
    );
    assert_eq!(told[0].1, "Encountered unsupported property Naem: a CodeBuild project has none");
}

const PIPELINE: &str = r#"
Resources:
  Key: {Type: "AWS::KMS::Key", Properties: {Description: k}}
  Store: {Type: "AWS::S3::Bucket"}
  Unused: {Type: "AWS::S3::Bucket"}
  UnusedRole: {Type: "AWS::IAM::Role", Properties: {AssumeRolePolicyDocument: {}}}
  Rule: {Type: "AWS::Events::Rule", Properties: {RoleArn: !GetAtt UnusedRole.Arn}}
  StorePolicy:
    Type: AWS::S3::BucketPolicy
    Properties: {Bucket: !Ref Store, PolicyDocument: {Statement: [{Principal: {AWS: !GetAtt UnusedRole.Arn}}]}}
  Role:
    Type: AWS::IAM::Role
    Properties: {Path: /ci/, AssumeRolePolicyDocument: {Version: 2012-10-17}}
  Policy:
    Type: AWS::IAM::Policy
    Properties: {PolicyName: p, PolicyDocument: {Resource: !GetAtt Key.Arn}, Roles: [!Ref Role]}
  Pipe:
    Type: AWS::CodePipeline::Pipeline
    DependsOn: [Policy]
    Properties:
      RoleArn: !GetAtt Role.Arn
      ArtifactStores:
        - Region: eu-west-1
          ArtifactStore: {Type: S3, Location: !Ref Store, EncryptionKey: {Id: !GetAtt Key.Arn, Type: KMS}}
      DisableInboundStageTransitions: [{StageName: B, Reason: not yet}]
      RestartExecutionOnUpdate: true
      Stages:
        - Name: A
          Actions:
            - Name: Fetch
              RunOrder: "1"
              ActionTypeId: {Category: Source, Owner: AWS, Provider: S3, Version: 1}
              Configuration: '{"S3Bucket": "b", "PollForSourceChanges": false}'
              OutputArtifacts: [{Name: Code}]
        - Name: B
          Actions:
            - Name: Go
              ActionTypeId: {Category: Approval, Owner: AWS, Provider: Manual, Version: "1"}
      Tags: [{Key: team, Value: a}]
"#;

#[test]
fn a_pipeline_takes_along_what_it_refers_to() {
    let plan = plan(&[stack("shop", PIPELINE)], &inputs()).unwrap_or_else(|reports| panic!("{reports:?}"));
    let made: Vec<(&str, Kind)> = plan.items.iter().map(|i| (i.logical.as_str(), i.kind)).collect();
    assert_eq!(
        made,
        [
            ("Store", Kind::Bucket),
            ("Role", Kind::Role),
            ("Policy", Kind::Policy),
            ("StorePolicy", Kind::BucketPolicy),
            ("Pipe", Kind::Pipeline)
        ]
    );
    let left: BTreeMap<&str, &str> = plan.left_out.iter().map(|l| (l.logical.as_str(), l.reason)).collect();
    assert_eq!(left["Unused"], "no pipeline or project refers to it");
    assert_eq!(
        left["UnusedRole"], "no pipeline or project refers to it",
        "neither a rule nor a bucket's policy counts"
    );
    assert!(left["Key"].contains("KMS") && left["Rule"].contains("EventBridge"));

    let pipe = &plan.items[4];
    assert_eq!(pipe.notes, ["the artifact store's encryption key is left out: there is no KMS here yet"]);
    let store = plan.items[0].name.clone();
    assert!(store.starts_with("shop-store-") && store.len() <= 63, "{store}");
    assert_eq!(pipe.body["pipeline"]["artifactStores"], json!({"eu-west-1": {"type": "S3", "location": store}}));
    assert_eq!(pipe.body["disabled"], json!([{"stageName": "B", "reason": "not yet"}]));
    assert_eq!((&pipe.body["restart"], &pipe.body["tags"]), (&json!(true), &json!([{"key": "team", "value": "a"}])));
    let fetch = &pipe.body["pipeline"]["stages"][0]["actions"][0];
    assert_eq!(fetch["configuration"], json!({"S3Bucket": "b", "PollForSourceChanges": "false"}));
    assert_eq!((&fetch["runOrder"], &fetch["actionTypeId"]["version"]), (&json!(1), &json!("1")));
    let role = pipe.body["pipeline"]["roleArn"].as_str().unwrap_or_default();
    assert!(role.starts_with("arn:aws:iam::123456789012:role/ci/shop-Role-"), "{role}");
    assert_eq!(plan.items[1].body["AssumeRolePolicyDocument"], json!({"Version": "2012-10-17"}));
}

#[test]
fn stacks_import_what_others_export() {
    let base = "Resources:\n  Site: {Type: 'AWS::S3::Bucket'}\n  Other: {Type: 'AWS::S3::Bucket'}\nOutputs:\n  \
                Site:\n    Value: !Ref Site\n    Export: {Name: !Sub '${AWS::StackName}:Site'}\n";
    let user = project("", "!ImportValue base:Site");
    let plan = plan(&[stack("base", base), stack("shop", &user)], &inputs()).unwrap_or_else(|r| panic!("{r:?}"));
    let made: Vec<(usize, &str)> = plan.items.iter().map(|i| (i.stack, i.logical.as_str())).collect();
    assert_eq!(made, [(0, "Site"), (1, "Build")], "what is imported is made, what is only exported is not");
    assert_eq!(plan.items[1].body["environment"]["environmentVariables"][0]["value"], json!(plan.items[0].name));
}

#[test]
fn conditions_decide_what_is_there() {
    let text = "Conditions:\n  No: !Equals [a, b]\nResources:\n  Off:\n    Type: AWS::S3::Bucket\n    Condition: No\n  \
                P:\n    Type: AWS::CodeBuild::Project\n    Properties:\n      Name: !If [No, !Ref Off, built]\n      \
                Description: !Ref Off\n      Source: {Type: CODEPIPELINE}\n      Artifacts: {Type: CODEPIPELINE}\n      \
                ServiceRole: some-role\n      Environment: {Type: L, Image: i, ComputeType: c}\n";
    let reports = plan(&[stack("s", text)], &inputs()).unwrap_err();
    let told: Vec<&str> = reports[0].problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(told, ["`Off` is not made: its condition `No` does not hold"]);
    let repaired = text.replace("      Description: !Ref Off\n", "");
    let plan = plan(&[stack("s", &repaired)], &inputs()).unwrap();
    assert_eq!(plan.items.len(), 1);
    assert_eq!(plan.items[0].body["serviceRole"], Json::from("arn:aws:iam::123456789012:role/some-role"));
}

#[test]
fn secrets_are_known_as_such() {
    let sections = "Parameters:\n  Token: {Type: String, NoEcho: true, Default: s3cret}\n";
    let text = project(sections, "!Ref Token");
    let plan = plan(&[stack("s", &text)], &inputs()).unwrap();
    assert_eq!(plan.secrets, ["s3cret"]);
}

#[test]
fn no_template_is_too_broken_to_be_told_so() {
    // Cut off anywhere, and with any line gone: it is a plan or a report, never a panic.
    let lines: Vec<&str> = PIPELINE.lines().collect();
    let without = |gone: usize| {
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(i, _)| *i != gone).map(|(_, line)| *line).collect();
        kept.join(
            "
",
        )
    };
    let cut = (0..PIPELINE.len()).step_by(5).map(|end| PIPELINE[..end].to_owned());
    let mut plans = 0;
    for text in cut.chain((0..lines.len()).map(without)) {
        let Ok(template) = Template::parse(Text::new("t.yaml", &text)) else { continue };
        match plan(&[Stack { name: "shop".into(), template }], &inputs()) {
            Ok(_) => plans += 1,
            Err(reports) => assert!(reports.iter().all(|r| r.errors() > 0), "{text}"),
        }
    }
    assert!(plans > 5, "some of them are whole enough: {plans}");
}
