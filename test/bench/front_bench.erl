%% @doc What the front itself costs: a worker that answers at once behind the front's HTTP, beside a
%% bare handler of mochiweb that reads the same body and answers a constant of the same size.
%% scripts/bench-front starts this and drives it with wrk.
-module(front_bench).

-export([start/0]).

%% @doc Starts the front and the bare handler on free ports and prints both, then serves for ever.
%% The worker is this node itself: what another node, and the way to it, would cost is no part of
%% the front's share, and on the same cores it would count as that.
start() ->
    ok = load_worker(),
    ok = application:load(ml_cluster),
    Env = [{workers, [node()]}, {http, #{port => 0}}, {limits, #{connections => 20000}}],
    [ok = application:set_env(ml_cluster, Key, Value) || {Key, Value} <- Env],
    {ok, _} = application:ensure_all_started(ml_cluster),
    {ok, _} = mochiweb_http:start([
        {name, bare}, {ip, {127, 0, 0, 1}}, {port, 0}, {nodelay, true}, {max, 20000}, {loop, fun bare/1}
    ]),
    ok = await_worker(),
    Bare = mochiweb_socket_server:get(bare, port),
    io:format("ports ~b ~b~n", [ml_cluster_mochiweb:port(), Bare]),
    memory().

await_worker() ->
    case ml_cluster_table:up(remote) of
        [_] -> ok;
        [] -> timer:sleep(20), await_worker()
    end.

%% For each line that is read the VM's memory, after a collection of all processes.
memory() ->
    case io:get_line("") of
        eof ->
            halt();
        _ ->
            _ = [garbage_collect(Pid) || Pid <- processes()],
            io:format("memory ~b~n", [erlang:memory(total)]),
            memory()
    end.

%% The path is the number of texts.
bare(Req) ->
    _ = mochiweb_request:recv_body(Req),
    "/" ++ Count = mochiweb_request:get(path, Req),
    Reply = persistent_reply(list_to_integer(Count)),
    mochiweb_request:respond({200, [{"Content-Type", "application/json"}], Reply}, Req).

persistent_reply(Count) ->
    case persistent_term:get({?MODULE, Count}, none) of
        none ->
            persistent_term:put({?MODULE, Count}, reply(Count)),
            persistent_reply(Count);
        Reply ->
            Reply
    end.

%% A reply of `POST /infer' with so many vectors.
reply(Count) ->
    iolist_to_binary([
        "{\"cached\":0,\"embeddings\":[", lists:join($,, lists:duplicate(Count, vector())),
        "],\"node\":\"worker1@127.0.0.1\"}"
    ]).

vector() ->
    iolist_to_binary([$[, lists:join($,, lists:duplicate(384, "-0.034477245")), $]]).

load_worker() ->
    Clauses =
        "-module(ml_worker).\n"
        "-export([encode/3, info/0, get_load/0]).\n"
        "encode(T, _, _) -> #{cached => 0, embeddings => vectors(T, persistent_term:get(v))}.\n"
        "vectors(T, V) -> [V || _ <- T].\n"
        "info() -> #{api => 1, functions => [encode], opts => [format, timeout_ms],"
        " model => #{loaded_models => [<<\"m\">>]}}.\n"
        "get_load() -> 0.0.\n",
    persistent_term:put(v, vector()),
    Forms = [form(Text) || Text <- string:split(Clauses, "\n", all), Text =/= ""],
    {ok, Module, Beam} = compile:forms(Forms),
    {module, Module} = code:load_binary(Module, "ml_worker", Beam),
    ok.

form(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Form} = erl_parse:parse_form(Tokens),
    Form.
