//! Tasks (extension `io.modelcontextprotocol/tasks`): calls that the server answers with the
//! promise of a result.
//!
//! A call of a client that takes tasks ([`ClientBuilder::tasks`](crate::ClientBuilder::tasks))
//! drives the task to its end and gives its result, as if there were none.
//! [`Request::once`](crate::Request::once) hands the task over instead.

use crate::ClientError;
use crate::client::Client;
use crate::listen::ChangeStream;
use crate::notices::TaskProgress;
use crate::options::CallOptions;
use crate::request::{FromResult, read as read_result};
use crate::rounds::Kind;
use carryall_proto::listen::Change;
use carryall_proto::sync::Mutex;
use carryall_proto::task::TaskState;
use carryall_types::{
    CallToolResult, DetailedTask, InputRequests, InputResponses, Method, RawJson,
    SubscriptionFilter, Task, TaskParams, TaskStatus, UpdateTaskParams, task_method,
};
use std::collections::HashSet;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

/// How seldom to ask at most, whatever the server says.
const MOST_POLL: Duration = Duration::from_secs(60);
/// Who is told of changes asks this many times less often.
const POLL_WHILE_LISTENING: u32 = 10;

fn read(method: &Method, text: &RawJson) -> Result<TaskState, ClientError> {
    text.decode()
        .map_err(|error| ClientError::decode(method, error))
}

/// A task of a server: a name, and the way to ask after it. The name can be kept and used again by
/// another process ([`Client::task`]); dropping the handle leaves the task alone.
#[derive(Clone)]
pub struct TaskHandle {
    client: Client,
    id: String,
    options: CallOptions,
    /// Shared by the clones, so that nothing is told twice.
    progress: Arc<Mutex<TaskProgress>>,
}

impl Client {
    /// The task of this name, which an earlier process may have been given. Nothing is sent.
    pub fn task(&self, id: impl Into<String>) -> TaskHandle {
        self.task_with(id.into(), CallOptions::default(), 0.0)
    }

    pub(crate) fn task_with(&self, id: String, options: CallOptions, reached: f64) -> TaskHandle {
        TaskHandle {
            client: self.clone(),
            id,
            options,
            progress: Arc::new(Mutex::new(TaskProgress::new(reached))),
        }
    }
}

impl TaskHandle {
    /// The name of the task. Whoever has it may be able to read its result: keep it as you would
    /// keep a password.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How the task stands (`tasks#task-polling`).
    ///
    /// # Errors
    /// [`ClientError::is_invalid_params`] when there is no such task, or it has ended.
    pub async fn get(&self) -> Result<DetailedTask, ClientError> {
        let (method, text) = self.fetch().await?;
        text.decode()
            .map_err(|error| ClientError::decode(&method, error))
    }

    /// Brings answers to what the task asks (`tasks#task-update-requests`). What it does not ask is
    /// ignored.
    ///
    /// # Errors
    /// When there is no such task, or an answer does not fit its question.
    pub async fn update(&self, responses: impl Into<InputResponses>) -> Result<(), ClientError> {
        let params = UpdateTaskParams {
            task_id: self.id.clone(),
            input_responses: responses.into(),
        };
        self.client
            .request(task_method::UPDATE, params)
            .with(self.options_of_requests())
            .await
            .map(drop)
    }

    /// Says that nobody wants the task any more (`tasks#task-cancellation`). The server decides
    /// what becomes of it.
    ///
    /// # Errors
    /// When there is no such task.
    pub async fn cancel(&self) -> Result<(), ClientError> {
        let params = TaskParams {
            task_id: self.id.clone(),
        };
        self.client
            .request(task_method::CANCEL, params)
            .with(self.options_of_requests())
            .await
            .map(drop)
    }

    /// Waits for the result, providing what the task asks for with the client's handlers. Asks as
    /// often as the server says, or listens, where the server offers that. Dropping the future
    /// leaves the task alone: it can be waited for again.
    ///
    /// # Errors
    /// The error that the task ended with; [`ClientError::TaskCancelled`]; what the handlers
    /// report.
    pub async fn wait(&self) -> Result<CallToolResult, ClientError> {
        self.wait_for::<CallToolResult>().await
    }

    /// As [`wait`](Self::wait), with the result as an `A`, for example [`ToolValue<T>`](crate::ToolValue).
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), and when the result is not an `A`.
    pub async fn wait_for<A: FromResult>(&self) -> Result<A::Output, ClientError> {
        read_result::<A>(
            &self.client,
            &Method::ToolsCall,
            &self.result().await?,
            false,
            &self.options,
        )
    }

    /// News of the task, for hosts that answer its questions by hand. The first is how it stands
    /// now.
    #[must_use]
    pub fn watch(&self) -> TaskWatch {
        TaskWatch {
            handle: self.clone(),
            watching: Watching::NotYet,
            last: None,
        }
    }

    pub(crate) async fn result(&self) -> Result<RawJson, ClientError> {
        let (mut news, mut provided) = (self.watch(), HashSet::new());
        loop {
            let (method, text) = news.next_text().await?;
            self.tell(&method, &text)?;
            let now = read(&method, &text)?;
            match now.status {
                TaskStatus::Working => {}
                TaskStatus::InputRequired => {
                    if self
                        .provide(now.input_requests.unwrap_or_default(), &mut provided)
                        .await?
                    {
                        // The answers may have been all that it waited for.
                        news.last = None;
                    }
                }
                TaskStatus::Completed => return self.completed(&method, now),
                TaskStatus::Failed => {
                    let missing =
                        || ClientError::protocol(&method, "a failed task without its error");
                    return Err(now.error.map_or_else(missing, ClientError::Server));
                }
                TaskStatus::Cancelled => {
                    return Err(ClientError::TaskCancelled {
                        id: self.id.clone(),
                        message: now.status_message,
                    });
                }
            }
        }
    }

    fn completed(&self, method: &Method, news: TaskState) -> Result<RawJson, ClientError> {
        let result = news
            .result
            .ok_or_else(|| ClientError::protocol(method, "a completed task without its result"))?;
        match Kind::of(&Method::ToolsCall, result, &[], false)? {
            Kind::Complete(result) => Ok(result),
            _ => Err(ClientError::protocol(
                method,
                "the result of a task is not a complete one",
            )),
        }
    }

    /// Has the handlers provide what was not provided before: the same question may be told of many
    /// times. Returns whether there was anything.
    async fn provide(
        &self,
        requests: InputRequests,
        provided: &mut HashSet<String>,
    ) -> Result<bool, ClientError> {
        let new: InputRequests = requests
            .into_iter()
            .filter(|(key, _)| !provided.contains(key))
            .collect();
        if new.is_empty() {
            return Ok(false);
        }
        let keys: Vec<String> = new.iter().map(|(key, _)| key.to_owned()).collect();
        let responses = self.client.provide_inputs(new).await?;
        let responses: InputResponses = responses
            .decode()
            .map_err(|error| ClientError::Request(format!("the inputs: {error}")))?;
        self.update(responses).await?;
        provided.extend(keys);
        Ok(true)
    }

    /// Listens to the task, if the server agrees to tell of it (`tasks#task-status-notifications`).
    async fn listen(&self) -> Watching {
        let filter = SubscriptionFilter::new().with_task_ids(vec![self.id.clone()]);
        match self.client.listen(filter).max_failures(0).await {
            Ok(listener) if listener.acknowledged().tasks().contains(&self.id) => {
                Watching::Listening(Box::new(listener))
            }
            Ok(_) => Watching::InVain,
            Err(error) => {
                tracing::debug!(error = %carryall_proto::PrintableFmt(&error), "a task cannot be listened to; asking now and then instead");
                Watching::InVain
            }
        }
    }

    async fn fetch(&self) -> Result<(Method, RawJson), ClientError> {
        let params = TaskParams {
            task_id: self.id.clone(),
        };
        let text = self
            .client
            .request(task_method::GET, params)
            .with(self.options_of_requests())
            .await?;
        Ok((Method::from(task_method::GET), text))
    }

    fn tell(&self, method: &Method, text: &RawJson) -> Result<(), ClientError> {
        if self.options.on_task.is_none() && self.options.on_progress.is_none() {
            return Ok(());
        }
        let now = read(method, text)?;
        if let Some(callback) = &self.options.on_task {
            let task: Task = text
                .decode()
                .map_err(|error| ClientError::decode(method, error))?;
            callback(&task);
        }
        self.tell_progress(now.status, now.status_message.as_deref());
        Ok(())
    }

    /// What a task says while it is worked on is its progress; what it says at its end is about its
    /// end.
    pub(crate) fn tell_progress(&self, status: TaskStatus, message: Option<&str>) {
        let Some(callback) = self
            .options
            .on_progress
            .as_ref()
            .filter(|_| !status.is_terminal())
        else {
            return;
        };
        let update = self.progress.lock().update(message);
        if let Some(update) = update {
            callback(update);
        }
    }

    /// The limits of a call hold for each of the requests that it takes.
    fn options_of_requests(&self) -> CallOptions {
        let CallOptions {
            timeout,
            max_timeout,
            meta,
            ..
        } = self.options.clone();
        CallOptions {
            timeout,
            max_timeout,
            meta,
            ..CallOptions::default()
        }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// News of a task as they come. Asks as often as the server says, or listens, where the server
/// offers that.
#[derive(Debug)]
pub struct TaskWatch {
    handle: TaskHandle,
    watching: Watching,
    /// What was said last, unless it is out of date for a reason of this side.
    last: Option<RawJson>,
}

impl TaskWatch {
    /// How the task stands, at once the first time and then as soon as that has changed. After the
    /// end nothing changes any more. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError::is_invalid_params`] when there is no such task, or it has ended and is
    /// forgotten.
    pub async fn next(&mut self) -> Result<DetailedTask, ClientError> {
        let (method, text) = self.next_text().await?;
        let task = text
            .decode()
            .map_err(|error| ClientError::decode(&method, error))?;
        self.handle.tell(&method, &text)?;
        Ok(task)
    }

    async fn next_text(&mut self) -> Result<(Method, RawJson), ClientError> {
        let Some(last) = &self.last else {
            let (method, text) = self.handle.fetch().await?;
            self.last = Some(text.clone());
            return Ok((method, text));
        };
        let (last, method) = (last.clone(), Method::from(task_method::GET));
        let before = read(&method, &last)?;
        if matches!(self.watching, Watching::NotYet) {
            self.watching = self.handle.listen().await;
        }
        loop {
            let listening = matches!(self.watching, Watching::Listening(_));
            let pause =
                before.poll_interval(MOST_POLL) * if listening { POLL_WHILE_LISTENING } else { 1 };
            let (method, text) = tokio::select! {
                told = self.watching.told(&self.handle.id) => match told {
                    Some(text) => (Method::from(task_method::CHANGED), text),
                    None => {
                        self.watching = Watching::InVain;
                        self.handle.fetch().await?
                    }
                },
                () = tokio::time::sleep(pause) => self.handle.fetch().await?,
            };
            let now = read(&method, &text)?;
            if now != before {
                self.last = Some(text.clone());
                return Ok((method, text));
            }
        }
    }
}

/// How news of a task come.
#[derive(Debug)]
enum Watching {
    NotYet,
    Listening(Box<ChangeStream>),
    /// The server does not tell.
    InVain,
}

impl Watching {
    /// What the server tells next; `None` when it tells no more.
    async fn told(&mut self, id: &str) -> Option<RawJson> {
        let Self::Listening(listener) = self else {
            return pending().await;
        };
        loop {
            match listener.next().await {
                Some(Ok(Change::Task(change))) if &*change.id == id => return Some(change.task),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// A call that is being driven through its task. If nobody waits for its result any more, nobody
/// wants the task either.
pub(crate) struct CancelOnDrop(Option<TaskHandle>);

impl CancelOnDrop {
    pub(crate) fn new(handle: TaskHandle) -> Self {
        Self(Some(handle))
    }

    pub(crate) async fn result(mut self) -> Result<RawJson, ClientError> {
        let Some(handle) = self.0.clone() else {
            return Err(ClientError::Request("no task".into()));
        };
        let result = handle.result().await;
        // Whatever the reason for an error on this side was, the task may still be at work.
        if !matches!(&result, Err(error) if error.server().is_none()) {
            self.0 = None;
        }
        result
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let (Some(handle), Ok(executor)) = (self.0.take(), tokio::runtime::Handle::try_current())
        {
            drop(executor.spawn(async move { handle.cancel().await }));
        }
    }
}
