// Handlers of Lambda functions as people write them for CodePipeline with the AWS SDK: the counterparts of
// tests/clients/functions.py, which says what each is for. They know nothing of Towpath.

import {
  CodePipelineClient,
  PutJobFailureResultCommand,
  PutJobSuccessResultCommand,
} from "@aws-sdk/client-codepipeline";
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { strToU8, unzipSync, zipSync } from "fflate";

const pipelines = new CodePipelineClient();
const own = new S3Client();

function artifactsOf(data) {
  const { accessKeyId, secretAccessKey, sessionToken } = data.artifactCredentials;
  return new S3Client({ credentials: { accessKeyId, secretAccessKey, sessionToken } });
}

function place(artifact) {
  const { bucketName, objectKey } = artifact.location.s3Location;
  return { Bucket: bucketName, Key: objectKey };
}

const succeed = (job, more = {}) => pipelines.send(new PutJobSuccessResultCommand({ jobId: job.id, ...more }));
const fail = (job, type, message, more = {}) =>
  pipelines.send(new PutJobFailureResultCommand({ jobId: job.id, failureDetails: { type, message, ...more } }));

export const smoke = async (event) => {
  const job = event["CodePipeline.job"];
  console.log("smoke works");
  try {
    const { data } = job;
    const { greeting } = JSON.parse(data.actionConfiguration.configuration.UserParameters);
    const s3 = artifactsOf(data);
    const input = await s3.send(new GetObjectCommand(place(data.inputArtifacts[0])));
    const names = Object.keys(unzipSync(await input.Body.transformToByteArray())).sort();
    const packed = zipSync({ "report.txt": strToU8(`${greeting} ${names.join(" ")}`) });
    await s3.send(new PutObjectCommand({ ...place(data.outputArtifacts[0]), Body: packed }));
    await succeed(job, {
      outputVariables: { Files: String(names.length) },
      executionDetails: { summary: "mine", externalExecutionId: "my-own", percentComplete: 100 },
    });
  } catch (error) {
    await fail(job, "JobFailed", String(error));
  }
};

export const patient = async (event) => {
  const job = event["CodePipeline.job"];
  const token = job.data.continuationToken;
  const turn = token === undefined ? 1 : JSON.parse(token).turn;
  if (turn < 3) {
    await succeed(job, {
      continuationToken: JSON.stringify({ turn: turn + 1 }),
      executionDetails: { summary: `turn ${turn}`, percentComplete: turn * 30 },
    });
  } else {
    await succeed(job, { outputVariables: { Turns: String(turn) } });
  }
};

export const refusing = async (event) =>
  fail(event["CodePipeline.job"], "ConfigurationError", "not with me", { externalExecutionId: "e-1" });

export const prying = async (event) => {
  const job = event["CodePipeline.job"];
  const s3 = artifactsOf(job.data);
  const [input, output] = [place(job.data.inputArtifacts[0]), place(job.data.outputArtifacts[0])];
  const could = [];
  for (const [what, command] of [
    ["list", new ListObjectsV2Command({ Bucket: input.Bucket })],
    ["read the output", new GetObjectCommand(output)],
    ["write the input", new PutObjectCommand({ ...input, Body: "x" })],
    ["read another", new GetObjectCommand({ Bucket: input.Bucket, Key: "secret.txt" })],
  ]) {
    try {
      await s3.send(command);
      could.push(what);
    } catch (error) {
      if (error.$metadata?.httpStatusCode !== 403) {
        could.push(`${what}: ${error}`);
      }
    }
  }
  await (could.length ? fail(job, "JobFailed", could.join()) : succeed(job));
};

export const throwing = async () => {
  throw new TypeError("thrown before an answer");
};

export const silent = async () => ({ statusCode: 200 });

export const hanging = async () => {
  console.log("hanging now");
  await new Promise((resolve) => setTimeout(resolve, 3_600_000));
};

export const late = async (event) => {
  const job = event["CodePipeline.job"];
  const { bucket, key } = JSON.parse(job.data.actionConfiguration.configuration.UserParameters);
  console.log(`job ${job.id} waits`);
  for (;;) {
    try {
      await own.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
      break;
    } catch (error) {
      if (error.name !== "NotFound") {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  try {
    await succeed(job, { outputVariables: { When: "late" } });
    console.log("its answer was taken");
  } catch (error) {
    console.log(`its answer was refused: ${error.name}`);
  }
};
