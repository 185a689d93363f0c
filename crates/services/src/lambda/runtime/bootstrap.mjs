// Starts a Lambda handler. Uses AWS's own runtime interface client (`npm install aws-lambda-ric`) where the function or
// NODE_PATH has it; otherwise speaks the Lambda Runtime API by itself, with the same contract. Shipped inside of towpath,
// which writes it here.

import { createRequire } from "node:module";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import util from "node:util";
import { pathToFileURL } from "node:url";

const root = process.env.LAMBDA_TASK_ROOT ?? process.cwd();
const named = process.argv[2];

function official() {
  try {
    const manifest = createRequire(path.join(root, "/")).resolve("aws-lambda-ric/package.json");
    const bin = JSON.parse(fs.readFileSync(manifest, "utf8")).bin;
    return path.join(path.dirname(manifest), typeof bin === "string" ? bin : Object.values(bin)[0]);
  } catch {
    return undefined;
  }
}

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
// One connection, and no limit of time: the next event may be long in coming.
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, where, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const request = http.request(
      {
        host,
        port,
        agent,
        method,
        path: `/2018-06-01/runtime/${where}`,
        headers: bytes ? { "Content-Type": "application/json", "Content-Length": bytes.length, ...headers } : headers,
      },
      (answer) => {
        const chunks = [];
        answer.on("data", (chunk) => chunks.push(chunk));
        answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }));
        answer.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(bytes);
  });
}

let current = "";

for (const [level, name] of [
  ["log", "INFO"],
  ["info", "INFO"],
  ["debug", "DEBUG"],
  ["trace", "TRACE"],
  ["warn", "WARN"],
  ["error", "ERROR"],
]) {
  console[level] = (...parts) => {
    const line = `${new Date().toISOString()}\t${current || "undefined"}\t${name}\t${util.format(...parts)}`;
    fs.writeSync(1, line.replace(/\n/g, "\r") + "\n");
  };
}

function told(error) {
  if (error instanceof Error || (error && typeof error === "object" && "message" in error && "name" in error)) {
    return {
      errorType: String(error.name),
      errorMessage: String(error.message),
      trace: String(error.stack ?? "").split("\n"),
    };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

function named_error(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}

async function report(where, error) {
  const body = told(error);
  await call("POST", where, JSON.stringify(body), { "Lambda-Runtime-Function-Error-Type": body.errorType });
}

async function load() {
  const base = path.basename(named);
  const dot = base.indexOf(".");
  if (dot < 1 || dot === base.length - 1) {
    throw named_error("Runtime.MalformedHandlerName", "Bad handler");
  }
  const file = path.resolve(root, path.dirname(named), base.slice(0, dot));
  const keys = base.slice(dot + 1).split(".");
  const found = [file, `${file}.js`, `${file}.mjs`, `${file}.cjs`].find(
    (candidate) => fs.existsSync(candidate) && fs.statSync(candidate).isFile(),
  );
  if (found === undefined) {
    throw named_error(
      "Runtime.ImportModuleError",
      `Error: Cannot find module '${path.basename(file)}'\nRequire stack:\n- ${root}`,
    );
  }
  let module;
  try {
    module = await import(pathToFileURL(found).href);
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw named_error("Runtime.UserCodeSyntaxError", `SyntaxError: ${error.message}`);
    }
    if (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") {
      throw named_error("Runtime.ImportModuleError", `Error: ${error.message}`);
    }
    throw error;
  }
  const at = (start) => keys.reduce((value, key) => value?.[key], start);
  const handler = at(module) ?? at(module.default);
  if (handler === undefined) {
    throw named_error("Runtime.HandlerNotFound", `${named} is undefined or not exported`);
  }
  if (typeof handler !== "function") {
    throw named_error("Runtime.HandlerNotFound", `${named} is not a function`);
  }
  return handler;
}

// A handler answers through a promise or a callback. One that does neither has answered null once nothing is left to do.
function run(handler, event, context) {
  return new Promise((resolve, reject) => {
    const empty = () => resolve(null);
    process.once("beforeExit", empty);
    const settle = (how) => (value) => {
      process.removeListener("beforeExit", empty);
      how(value);
    };
    const [done, failed] = [settle(resolve), settle(reject)];
    const callback = (error, result) => (error !== undefined && error !== null ? failed(error) : done(result));
    context.done = callback;
    context.succeed = done;
    context.fail = (error) => failed(error ?? "handled");
    const result = handler(event, context, callback);
    if (result && typeof result.then === "function") {
      result.then(done, failed);
    } else if (result !== undefined && handler.length < 3) {
      done(result);
    }
  });
}

async function main() {
  let handler;
  try {
    handler = await load();
  } catch (error) {
    console.error("Uncaught Exception", "\t" + JSON.stringify(told(error)));
    await report("init/error", error);
    process.exit(1);
  }
  for (const [event, name] of [
    ["uncaughtException", undefined],
    ["unhandledRejection", "Runtime.UnhandledPromiseRejection"],
  ]) {
    process.on(event, async (error) => {
      const seen = name ? Object.assign(named_error(name, String(error)), { reason: error }) : error;
      console.error("Uncaught Exception", "\t" + JSON.stringify(told(seen)));
      await report(current ? `invocation/${current}/error` : "init/error", seen).catch(() => {});
      process.exit(129);
    });
  }
  for (;;) {
    current = "";
    const next = await call("GET", "invocation/next");
    if (next.status !== 200) {
      process.exit(1);
    }
    const given = next.headers;
    current = given["lambda-runtime-aws-request-id"];
    const deadline = Number(given["lambda-runtime-deadline-ms"]);
    if (given["lambda-runtime-trace-id"]) {
      process.env._X_AMZN_TRACE_ID = given["lambda-runtime-trace-id"];
    }
    const parsed = (text) => (text ? JSON.parse(text) : undefined);
    const context = {
      callbackWaitsForEmptyEventLoop: true,
      functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
      functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
      memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
      clientContext: parsed(given["lambda-runtime-client-context"]),
      identity: parsed(given["lambda-runtime-cognito-identity"]),
      invokedFunctionArn: given["lambda-runtime-invoked-function-arn"],
      awsRequestId: current,
      getRemainingTimeInMillis: () => deadline - Date.now(),
    };
    const id = current;
    try {
      const result = await run(handler, JSON.parse(next.body.toString("utf8")), context);
      await call("POST", `invocation/${id}/response`, JSON.stringify(result === undefined ? null : result));
    } catch (error) {
      console.error("Invoke Error", "\t" + JSON.stringify(told(error)));
      await report(`invocation/${id}/error`, error);
    }
  }
}

const client = official();
if (client === undefined) {
  await main();
} else {
  // The client reads its handler where the command line or the environment has it, depending on its version.
  process.argv = [process.argv[0], client, named];
  await import(pathToFileURL(client).href);
}
