%% @doc Every line that the front logs: reports (maps) through `logger', with their texts beside
%% each other here. A handler that writes JSON gets the map, one that writes text the line.
%%
%% Metadata has `application => ml_cluster' and no `domain': the default handler of OTP drops what
%% comes with a domain of its own.
-module(ml_cluster_log).

-export([write/3, bug/4, text/1]).
-export_type([what/0]).

-type what() ::
    no_start
    | http_listens
    | no_http
    | drain_begins
    | drain_ends
    | handler_failed
    | line_failed
    | connection_failed
    | connections_taken
    | local_line
    | local_ended
    | event_handler_failed
    | worker_connecting
    | worker_up
    | worker_draining
    | worker_resting
    | worker_removed.

%% @doc Logs a report: `What' happened, with the fields that text/1 has for it. Texts of users never
%% are among them.
-spec write(logger:level(), what(), map()) -> ok.
write(Level, What, Fields) ->
    logger:log(Level, Fields#{what => What}, #{
        application => ml_cluster, report_cb => fun ?MODULE:text/1
    }).

%% @doc Logs that something of ours has crashed: where, and nothing of what it was working on.
-spec bug(handler_failed | line_failed | connection_failed, error | exit | throw, term(), list()) -> ok.
bug(What, Class, Reason, Stack) ->
    {Class, Name, Where} = ml_cluster_failure:bug(Class, Reason, Stack),
    write(error, What, #{class => Class, reason => Name, stack => Where}).

%% @doc A report as a line for people: format and arguments.
-spec text(logger:report()) -> {io:format(), [term()]}.
text(#{what := What} = Report) -> text(What, Report).

text(no_start, #{why := Why}) ->
    {"ml_cluster does not start: ~ts", [Why]};
text(http_listens, #{ip := Ip, port := Port}) ->
    {"ml_cluster: HTTP on ~ts port ~b", [Ip, Port]};
text(no_http, #{why := Why}) ->
    {"ml_cluster: no HTTP: ~ts", [Why]};
text(drain_begins, #{calls := Calls}) ->
    {"ml_cluster: draining: ~b calls are running", [Calls]};
text(drain_ends, #{left := Left}) ->
    {"ml_cluster: stops with ~b calls and connections left", [Left]};
text(handler_failed, #{class := Class, reason := Reason, stack := Stack}) ->
    {"ml_cluster: a handler failed: ~0tp:~0tp ~0tp", [Class, Reason, Stack]};
text(line_failed, #{class := Class, reason := Reason, stack := Stack}) ->
    {"ml_cluster: a line of a stream failed: ~0tp:~0tp ~0tp", [Class, Reason, Stack]};
text(connection_failed, #{class := Class, reason := Reason, stack := Stack}) ->
    {"ml_cluster: a connection failed: ~0tp:~0tp ~0tp", [Class, Reason, Stack]};
text(connections_taken, #{limit := Limit}) ->
    {"ml_cluster: all ~b connections are taken: new clients wait", [Limit]};
text(local_line, #{line := Line}) ->
    {"ml_cluster local worker: ~ts", [Line]};
text(local_ended, #{program := Program, status := Status, again_ms := Ms}) ->
    {"ml_cluster: local worker ~ts ended (~0tp); again in ~b ms", [Program, Status, Ms]};
text(event_handler_failed, #{event := Event, class := Class, reason := Reason}) ->
    {"ml_cluster: the handler of events failed on ~0tp: ~0tp:~0tp", [Event, Class, Reason]};
text(worker_connecting, #{node := Node}) ->
    {"ml_cluster: worker ~ts is being connected to", [Node]};
text(worker_up, #{node := Node}) ->
    {"ml_cluster: worker ~ts is up", [Node]};
text(worker_draining, #{node := Node}) ->
    {"ml_cluster: worker ~ts is draining", [Node]};
text(worker_resting, #{node := Node, reason := Reason}) ->
    {"ml_cluster: worker ~ts rests: ~0tp", [Node, Reason]};
text(worker_removed, #{node := Node}) ->
    {"ml_cluster: worker ~ts is removed", [Node]}.
