// The CDK app that the templates beside this file were synthesised from, with aws-cdk-lib 2.276.0:
//   npm install aws-cdk-lib@2.276.0 constructs && node app.js
// It writes cdk.out, of which the templates and the manifest are kept here (the manifest without its tree and flag reports).
const cdk = require('aws-cdk-lib');
const { aws_codebuild: codebuild, aws_codepipeline: codepipeline, aws_codepipeline_actions: actions, aws_s3: s3 } = cdk;

const app = new cdk.App({ outdir: 'cdk.out' });

class Storage extends cdk.Stack {
  constructor(scope, id) {
    super(scope, id);
    this.source = new s3.Bucket(this, 'Source', { bucketName: 'cdk-shop-source', versioned: true });
    this.site = new s3.Bucket(this, 'Site', { removalPolicy: cdk.RemovalPolicy.DESTROY });
  }
}

class Shop extends cdk.Stack {
  constructor(scope, id, storage) {
    super(scope, id);
    const greeting = new cdk.CfnParameter(this, 'Greeting', { default: 'hello', allowedPattern: '[a-z ]+' });
    const code = new codepipeline.Artifact('Code');
    const site = new codepipeline.Artifact('Site');
    const project = new codebuild.PipelineProject(this, 'Render', {
      environment: { buildImage: codebuild.LinuxBuildImage.STANDARD_7_0 },
      environmentVariables: { GREETING: { value: greeting.valueAsString } },
      buildSpec: codebuild.BuildSpec.fromObject({
        version: '0.2',
        phases: { build: { commands: ['mkdir -p out', 'echo "$GREETING" > out/index.html'] } },
        artifacts: { 'base-directory': 'out', files: ['**/*'] },
      }),
    });
    new codepipeline.Pipeline(this, 'Pipeline', {
      pipelineName: 'cdk-shop',
      pipelineType: codepipeline.PipelineType.V2,
      crossAccountKeys: true,
      enableKeyRotation: true,
      stages: [
        {
          stageName: 'Source',
          actions: [
            new actions.S3SourceAction({
              actionName: 'Fetch',
              bucket: storage.source,
              bucketKey: 'shop.zip',
              output: code,
              trigger: actions.S3Trigger.EVENTS,
            }),
          ],
        },
        {
          stageName: 'Build',
          actions: [new actions.CodeBuildAction({ actionName: 'Render', project, input: code, outputs: [site] })],
        },
        {
          stageName: 'Deploy',
          actions: [
            new actions.ManualApprovalAction({ actionName: 'Review', runOrder: 1 }),
            new actions.S3DeployAction({ actionName: 'Publish', bucket: storage.site, input: site, runOrder: 2 }),
          ],
        },
      ],
    });
  }
}

const storage = new Storage(app, 'ShopStorage');
new Shop(app, 'Shop', storage);
app.synth();
