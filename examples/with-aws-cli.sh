#!/bin/sh
# The static site on a server, with nothing but the AWS CLI: buckets, roles, a CodeBuild project, the pipeline.
# Start `towpath serve` first and point the CLI at it:
#   export AWS_ENDPOINT_URL=http://127.0.0.1:7400 AWS_SHARED_CREDENTIALS_FILE=DATA_DIR/credentials AWS_DEFAULT_REGION=us-east-1
set -eu
cd "$(dirname "$0")/static-site"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "buckets"
for bucket in static-site-source static-site-artifacts static-site-live; do aws s3 mb "s3://$bucket"; done
aws s3api put-bucket-versioning --bucket static-site-source --versioning-configuration Status=Enabled

echo "roles"
role() { # name, service that may assume it
  cat > "$work/trust.json" <<JSON
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "$2"}}]}
JSON
  cat > "$work/policy.json" <<JSON
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*", "codebuild:*", "logs:*"], "Resource": "*"}]}
JSON
  aws iam create-role --role-name "$1" --assume-role-policy-document "file://$work/trust.json" --query Role.Arn --output text
  aws iam put-role-policy --role-name "$1" --policy-name work --policy-document "file://$work/policy.json"
}
role static-site-pipeline codepipeline.amazonaws.com
role static-site-build codebuild.amazonaws.com

echo "project"
aws codebuild create-project --name static-site \
  --source type=CODEPIPELINE --artifacts type=CODEPIPELINE \
  --environment type=LINUX_CONTAINER,image=aws/codebuild/standard:7.0,computeType=BUILD_GENERAL1_SMALL \
  --service-role arn:aws:iam::123456789012:role/static-site-build --query project.arn --output text

echo "source"
python3 -m zipfile -c "$work/site.zip" buildspec.yml render.sh style.css pages
aws s3 cp --only-show-errors "$work/site.zip" s3://static-site-source/site.zip

echo "pipeline"
aws codepipeline create-pipeline --cli-input-json file://pipeline.json --query pipeline.name --output text
status=InProgress
while [ "$status" = InProgress ]; do
  sleep 1
  status=$(aws codepipeline list-pipeline-executions --pipeline-name static-site \
    --query 'pipelineExecutionSummaries[0].status' --output text)
done
aws codepipeline get-pipeline-state --name static-site \
  --query 'stageStates[].[stageName, latestExecution.status]' --output text
[ "$status" = Succeeded ]

echo "what was deployed"
aws s3 ls --recursive s3://static-site-live
