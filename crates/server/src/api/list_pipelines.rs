//! ListPipelines. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListPipelines.html

use std::sync::Arc;

use towpath_model::declaration::PipelineDeclaration;
use towpath_model::state::Gate;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{ListPipelinesInput, ListPipelinesOutput, Operation as Name, PipelineSummary};

use super::{Call, Operation, Resource, convert, errors};

/// Page size when the caller names none; AWS documents no default.
const PAGE: usize = 1000;

pub struct ListPipelines;

impl Operation for ListPipelines {
    type Input = ListPipelinesInput;
    type Output = ListPipelinesOutput;
    const NAME: Name = Name::ListPipelines;

    fn resource(input: &Self::Input) -> Resource {
        let _: &ListPipelinesInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let limit = convert::page_size(input.max_results, PAGE);
        let page = call
            .orchestrator
            .list_pipelines(call.scope(), input.next_token.as_deref(), limit)
            .await
            .map_err(errors::wire)?;
        let summary = |(gate, declaration): &(Gate, Arc<PipelineDeclaration>)| PipelineSummary {
            name: Some(gate.name.to_string()),
            version: Some(convert::int(gate.definition_version)),
            pipeline_type: declaration.pipeline_type.map(|t| format!("{t:?}")),
            execution_mode: Some(declaration.mode().as_str().to_owned()),
            created: Some(convert::time(gate.created)),
            updated: Some(convert::time(gate.updated)),
        };
        Ok(ListPipelinesOutput {
            pipelines: Some(page.gates.iter().map(summary).collect()),
            next_token: page.next_token,
        })
    }
}
