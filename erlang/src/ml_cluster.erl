%% @doc The front of a cluster of `ml_worker' nodes: the functions for users.
%%
%% None of them raises for what happens on another node: a call gives `{ok, Value}' or
%% `{error, Reason}', where Reason is the worker's own (see docs/API.md), `no_workers',
%% `{worker_lost, Node}', `deadline_exceeded' or `not_started'.
%%
%% <table>
%% <tr><td>{@link ml_cluster_config}</td><td>environment, checked at start</td></tr>
%% <tr><td>{@link ml_cluster_membership}</td><td>which nodes are workers</td></tr>
%% <tr><td>{@link ml_cluster_worker}</td><td>one worker's state machine</td></tr>
%% <tr><td>{@link ml_cluster_probe}</td><td>questions to a worker, in helper processes</td></tr>
%% <tr><td>{@link ml_cluster_info}</td><td>what a worker says of itself (pure)</td></tr>
%% <tr><td>{@link ml_cluster_table}</td><td>what is known of the workers; the snapshot</td></tr>
%% <tr><td>{@link ml_cluster_balancer}</td><td>which worker gets a call (pure)</td></tr>
%% <tr><td>{@link ml_cluster_rendezvous}</td><td>which worker owns a text (pure)</td></tr>
%% <tr><td>{@link ml_cluster_gauges}</td><td>what is measured of a worker</td></tr>
%% <tr><td>{@link ml_cluster_split}</td><td>a call's texts into pieces and back (pure)</td></tr>
%% <tr><td>{@link ml_cluster_fanout}</td><td>pieces of one call, joined in order</td></tr>
%% <tr><td>{@link ml_cluster_packed}</td><td>vectors on their way (pure)</td></tr>
%% <tr><td>{@link ml_cluster_kinds}</td><td>one answer, one model (pure)</td></tr>
%% <tr><td>{@link ml_cluster_call}</td><td>one call, tried until answered</td></tr>
%% <tr><td>{@link ml_cluster_pick}</td><td>the worker for a call, asking no process</td></tr>
%% <tr><td>{@link ml_cluster_watch}</td><td>waiting, while others write to one as well</td></tr>
%% <tr><td>{@link ml_cluster_failure}</td><td>what a failure means (pure)</td></tr>
%% <tr><td>{@link ml_cluster_local}</td><td>the worker program on this machine</td></tr>
%% <tr><td>{@link ml_cluster_span}</td><td>calls and attempts: counted, timed, told</td></tr>
%% <tr><td>{@link ml_cluster_metrics}</td><td>counters</td></tr>
%% <tr><td>{@link ml_cluster_histogram}</td><td>counters and histograms by labels</td></tr>
%% <tr><td>{@link ml_cluster_event}</td><td>events in the shape of telemetry</td></tr>
%% <tr><td>{@link ml_cluster_log}</td><td>every line that is logged</td></tr>
%% <tr><td>{@link ml_cluster_drain}</td><td>the end: what runs is answered first</td></tr>
%% <tr><td>{@link ml_cluster_main}</td><td>the front as a program of its own</td></tr>
%% <tr><td>{@link ml_cluster_http}</td><td>HTTP requests to responses, no server in it</td></tr>
%% <tr><td>{@link ml_cluster_mochiweb}</td><td>the only module that knows mochiweb</td></tr>
%% <tr><td>{@link ml_cluster_cowboy}</td><td>the only module that knows Cowboy</td></tr>
%% <tr><td>{@link ml_cluster_hornbeam}</td><td>routes and functions for Hornbeam</td></tr>
%% <tr><td>{@link ml_cluster_http_page}</td><td>the page at /</td></tr>
%% </table>
-module(ml_cluster).

-export([encode/2, encode/3, encode_parallel/3, predict/2, predict/3, tokenize/2, call/3]).
-export([workers/0, status/0, metrics/0]).
-export([add_worker/1, remove_worker/1, drain_worker/1]).
-export_type([model/0, opts/0, answer/0, reason/0]).

-include("ml_cluster.hrl").

-type model() :: binary() | atom() | string().
%% Option names are atoms or binaries; a map or a property list.
-type opts() :: map() | [{atom() | binary(), term()}].
-type answer() :: #{embeddings := [term()], cached := non_neg_integer(), nodes := [node()], _ => _}.
-type reason() :: term().

-define(STATUS_TIMEOUT, 2000).
%% A day.
-define(LONGEST_MS, 86400000).

%% @doc One vector per text, in the order of the texts.
-spec encode([unicode:chardata()], model()) -> {ok, answer()} | {error, reason()}.
encode(Texts, Model) -> encode(Texts, Model, #{}).

%% @doc As encode/2, with options: the worker's (docs/API.md), and `timeout_ms', which bounds the
%% call as a whole.
-spec encode([unicode:chardata()], model(), opts()) -> {ok, answer()} | {error, reason()}.
encode(Texts, Model, Opts) -> embed(Texts, Model, Opts, fun pieces/2).

%% @doc As encode/3, the texts split over all workers that are up.
-spec encode_parallel([unicode:chardata()], model(), opts()) -> {ok, answer()} | {error, reason()}.
encode_parallel(Texts, Model, Opts) -> embed(Texts, Model, Opts, fun even_pieces/2).

%% @doc The vectors alone: one for one text, a list for a list.
-spec predict(term(), model()) -> {ok, term()} | {error, reason()}.
predict(Input, Model) -> predict(Input, Model, #{}).

-spec predict(term(), model(), opts()) -> {ok, term()} | {error, reason()}.
predict(Input, Model, Opts) ->
    ml_cluster_span:call(predict, #{model => Model}, fun() ->
        case job(predict, [Input, Model], Opts) of
            {ok, Job} -> ml_cluster_call:run(with_key(Input, Job));
            {error, _} = Error -> Error
        end
    end).

%% @doc Token ids of each text.
-spec tokenize([unicode:chardata()], model()) -> {ok, term()} | {error, reason()}.
tokenize(Texts, Model) -> call(tokenize, [Texts, Model], #{}).

%% @doc Any function of a worker, on a worker of the strategy's choice.
-spec call(atom(), [term()], opts()) -> {ok, term()} | {error, reason()}.
call(Function, Args, Opts) ->
    ml_cluster_span:call(Function, #{}, fun() ->
        case job(Function, Args, Opts) of
            {ok, Job} -> ml_cluster_call:run(Job);
            {error, _} = Error -> Error
        end
    end).

%% ---- Embedding ----

embed(Texts, Model, Opts, Split) ->
    ml_cluster_span:call(encode, #{model => Model}, fun() ->
        case checked_texts(Texts) of
            ok -> embed_checked(Texts, job(encode, [Texts, Model], Opts), Split);
            {error, _} = Error -> Error
        end
    end).

embed_checked(Texts, {ok, Job}, Split) ->
    #{pieces_in_flight := Window} = ml_cluster_config:get(limits),
    How = #{window => Window, mix => ml_cluster_config:get(mix_numerics)},
    case Split(Texts, Job) of
        {ok, Pieces} -> ml_cluster_fanout:run(Pieces, keyed(Texts, Job), How);
        {error, _} = Error -> Error
    end;
embed_checked(_, {error, _} = Error, _) ->
    Error.

%% Only what the splitting needs; the worker checks each text.
checked_texts(Texts) ->
    Max = maps:get(texts, ml_cluster_config:get(limits, #{}), 100000),
    try length(Texts) of
        Count when Count > Max -> {error, {too_large, texts, Count, Max}};
        _ -> ok
    catch
        error:badarg -> {error, {bad_argument, texts, <<"expected a list of texts">>}}
    end.

pieces(Texts, #{strategy := consistent}) ->
    #{} = Limits = ml_cluster_config:get(limits),
    {ok, by_owner(Texts, ml_cluster_table:snapshot(), Limits)};
pieces(Texts, _) ->
    {ok, ml_cluster_split:whole(Texts, ml_cluster_config:get(limits))}.

by_owner(Texts, #snapshot{remote = Remote}, Limits) when tuple_size(Remote) =:= 0 ->
    ml_cluster_split:whole(Texts, Limits);
by_owner([_] = Texts, _, Limits) ->
    %% The call itself finds the owner, and minds its load.
    ml_cluster_split:whole(Texts, Limits);
by_owner(Texts, Snapshot, Limits) ->
    OwnerOf = fun(Text) -> ml_cluster_balancer:owner(ml_cluster_balancer:hash(Text), Snapshot) end,
    ml_cluster_split:by_owner(Texts, OwnerOf, Limits).

even_pieces(Texts, _) ->
    case {ml_cluster_table:up(remote), ml_cluster_table:up(local)} of
        {[], []} -> {error, no_workers};
        {[], Local} -> {ok, even(Texts, Local)};
        {Remote, _} -> {ok, even(Texts, Remote)}
    end.

even(Texts, Nodes) ->
    case ml_cluster_split:even(Texts, Nodes, ml_cluster_config:get(limits)) of
        [] -> [#{indices => [], texts => []}];
        Pieces -> Pieces
    end.

keyed([Text], Job) -> with_key(Text, Job);
keyed(_, Job) -> Job.

%% Hashing a long text costs something, so it is done only for the strategy that needs it.
with_key(Input, #{strategy := consistent} = Job) -> Job#{key := ml_cluster_balancer:hash(Input)};
with_key(_, Job) -> Job.

%% ---- Jobs ----

job(Function, Args, Opts) ->
    case ml_cluster_drain:is_draining() of
        true -> {error, draining};
        false -> new_job(Function, Args, Opts)
    end.

new_job(Function, Args, Opts) ->
    try
        Given = options(Opts),
        {Timeout, Timed} = timeout(Given),
        {Format, Formatted} = format(Timed),
        {Watch, Rest} = watch(Formatted),
        #{worker_bytes := Budget} = ml_cluster_config:get(limits),
        Wishes = maps:filter(fun(Key, _) -> is_wish(Key) end, Rest),
        {ok, #{
            function => Function,
            args => Args,
            opts => maps:without(maps:keys(Wishes), Rest),
            wishes => maps:merge(Format, Wishes),
            deadline => erlang:monotonic_time(millisecond) + Timeout,
            retries => ml_cluster_config:get(retries),
            strategy => ml_cluster_config:get(strategy),
            key => ml_cluster_pick:random(),
            budget => Budget,
            watch => Watch
        }}
    catch
        throw:{bad_argument, _, _} = Reason -> {error, Reason};
        %% There is no configuration before the application runs.
        error:badarg -> {error, not_started}
    end.

%% What does not change the answer may be left out for a worker that does not know it.
is_wish(Key) -> lists:member(ml_cluster_info:option_key(Key), wishes()).

wishes() ->
    [{ok, Name} || Name <- [<<"priority">>, <<"timings">>, <<"fingerprint">>, <<"trace">>]].

options(Opts) when is_map(Opts) ->
    case lists:all(fun is_atom/1, maps:keys(Opts)) of
        true -> Opts;
        false -> first_of_each(maps:to_list(Opts))
    end;
options(Opts) when length(Opts) >= 0 ->
    first_of_each([pair(Opt) || Opt <- Opts]);
options(_) ->
    wrong_options().

%% Of the names that we know, one spelling: the worker would see an option twice otherwise. As there,
%% the first entry for a name counts.
first_of_each(Pairs) ->
    maps:from_list([{option_name(Key), Value} || {Key, Value} <- lists:reverse(Pairs)]).

pair({Key, Value}) -> {Key, Value};
pair(Key) when is_atom(Key) -> {Key, true};
pair(_) -> wrong_options().

-spec wrong_options() -> no_return().
wrong_options() -> throw({bad_argument, opts, <<"expected a map or a property list">>}).

option_name(Name) when is_binary(Name) ->
    try
        binary_to_existing_atom(Name)
    catch
        error:badarg -> Name
    end;
option_name(Name) ->
    Name.

timeout(Opts) ->
    Default = ml_cluster_config:get(default_timeout_ms),
    case maps:take(timeout_ms, Opts) of
        error -> {Default, Opts};
        {infinity, Rest} -> {?LONGEST_MS, Rest};
        {None, Rest} when None =:= none; None =:= nil; None =:= undefined -> {Default, Rest};
        {Ms, Rest} when is_integer(Ms), Ms >= 0, Ms =< ?LONGEST_MS -> {Ms, Rest};
        _ -> throw({bad_argument, timeout_ms, <<"expected milliseconds, from 0 to 86400000">>})
    end.

%% The HTTP side takes text where a worker can send it, and floats from one that cannot.
format(Opts) ->
    case maps:take(wish_format, Opts) of
        {Format, Rest} -> {#{format => Format}, Rest};
        error -> {#{}, Opts}
    end.

%% Those who give one keep to the contract of {@link ml_cluster_call:job()}.
watch(Opts) ->
    case maps:take(watch, Opts) of
        {Watch, Rest} -> {Watch, Rest};
        error -> {none, Opts}
    end.

%% ---- What is there ----

%% @doc The workers, each in its state. `load' is in seconds, as the worker reported it last.
-spec workers() -> [map()].
workers() -> [worker(Row) || Row <- ml_cluster_table:rows()].

worker(#{node := Node, role := Role, state := State, reason := Reason, gauges := Gauges} = Row) ->
    (ml_cluster_metrics:attempts(Node))#{
        node => Node,
        role => Role,
        state => State,
        reason => Reason,
        load => ml_cluster_gauges:load(Gauges),
        in_flight => ml_cluster_gauges:in_flight(Gauges),
        models => maps:get(loaded, ml_cluster_info:models(maps:get(info, Row)))
    }.

%% @doc The cluster with what each worker says of itself right now.
-spec status() ->
    #{this_node := node(), workers := [map()], total_nodes := non_neg_integer()}.
status() ->
    Workers = workers(),
    Asked = [
        Node
     || #{node := Node, state := State} <- Workers, lists:member(State, [up, draining])
    ],
    Infos = maps:from_list(lists:zip(Asked, infos(Asked))),
    #{
        this_node => node(),
        workers => [with_info(Worker, Infos) || Worker <- Workers],
        total_nodes => length(nodes(connected))
    }.

infos([]) -> [];
infos(Nodes) -> erpc:multicall(Nodes, ml_worker, info, [], ?STATUS_TIMEOUT).

with_info(#{node := Node} = Worker, Infos) ->
    case Infos of
        #{Node := {ok, #{} = Info}} ->
            Worker#{info => Info};
        #{Node := {Class, Reason}} ->
            Worker#{error => ml_cluster_failure:reason({Class, Reason}, Node)};
        _ ->
            Worker#{error => maps:get(reason, Worker)}
    end.

%% @doc Counters since the start of the node. Those of each worker are in workers/0; histograms are
%% read with ml_cluster_histogram:snapshot/1.
-spec metrics() -> #{requests := map(), cluster := map()}.
metrics() ->
    #{
        requests => #{
            total => ml_cluster_metrics:get(total),
            distributed => ml_cluster_metrics:get(distributed),
            local_fallback => ml_cluster_metrics:get(local_fallback)
        },
        cluster => #{
            nodes => length(ml_cluster_table:up(remote)),
            node_selector_count => ml_cluster_metrics:tickets()
        }
    }.

%% ---- Changing it ----

%% @doc Makes a node a worker, or one that was drained take calls again.
-spec add_worker(node()) -> ok | {error, reason()}.
add_worker(Node) when is_atom(Node) ->
    case ml_cluster_names:to_node(atom_to_binary(Node)) of
        {ok, Node} -> when_started(fun() -> ml_cluster_membership:add(Node) end);
        error -> {error, {bad_argument, node, <<"expected NAME@HOST">>}}
    end;
add_worker(_) ->
    {error, {bad_argument, node, <<"expected NAME@HOST">>}}.

%% @doc Forgets a worker; calls that it is computing still get their answers.
-spec remove_worker(node()) -> ok | {error, reason()}.
remove_worker(Node) -> when_started(fun() -> ml_cluster_membership:remove(Node) end).

%% @doc No new calls for a worker; add_worker/1 ends that.
-spec drain_worker(node()) -> ok | {error, reason()}.
drain_worker(Node) ->
    case ml_cluster_table:row(Node) of
        {ok, _} -> ml_cluster_worker:drain(Node);
        error -> {error, not_found}
    end.

when_started(Fun) ->
    try
        Fun()
    catch
        exit:{noproc, _} -> {error, not_started}
    end.
