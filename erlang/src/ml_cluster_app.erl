%% @doc Starts and stops the front. A wrong configuration stops the start, with the key named.
-module(ml_cluster_app).
-behaviour(application).

-export([start/2, prep_stop/1, stop/1]).
-export([check/0, explain/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    case prepare() of
        {ok, Config} ->
            ok = ml_cluster_config:install(Config),
            ok = ml_cluster_metrics:init(),
            said(Config, ml_cluster_sup:start_link(Config));
        {error, Reason} = Error ->
            ml_cluster_log:write(error, no_start, #{why => explain(Reason)}),
            Error
    end.

said(#{http := #{adapter := Adapter, ip := Ip, port := Port}}, {ok, _} = Started) when Adapter =/= none ->
    ok = ml_cluster_log:write(notice, http_listens, #{ip => inet:ntoa(Ip), port => Port}),
    Started;
said(_, Started) ->
    Started.

%% @doc What runs is answered, what comes is refused; then the application stops.
-spec prep_stop(State) -> State.
prep_stop(State) ->
    ok = ml_cluster_drain:run(),
    State.

-spec stop(term()) -> ok.
stop(_) ->
    _ = ml_cluster_config:uninstall(),
    _ = ml_cluster_drain:ended(),
    ok.

%% Workers are reached over Erlang distribution: a front that is no node would find none, for ever.
prepare() ->
    case is_alive() of
        true -> check();
        false -> {error, not_distributed}
    end.

%% @doc The configuration with all that it names read and found usable; or what is wrong with it.
-spec check() -> {ok, ml_cluster_config:config()} | {error, term()}.
check() ->
    case ml_cluster_config:read() of
        {ok, Config} -> with_keys(Config);
        {error, _} = Error -> Error
    end.

with_keys(#{api_keys_file := File} = Config) ->
    case ml_cluster_auth:read(File) of
        {ok, Keys} -> with_http(Config#{api_keys => Keys});
        {error, Reason} -> {error, {bad_config, api_keys_file, Reason, File}}
    end.

%% `none': another server has the listener, as under Hornbeam.
with_http(#{http := #{adapter := Adapter, required := Required}} = Config) when Adapter =/= none ->
    case {usable(Adapter), Required} of
        {ok, _} -> {ok, Config};
        {{error, Reason}, true} -> {error, {bad_config, {http, adapter}, Reason, Adapter}};
        {{error, Reason}, false} -> {ok, without_http(Reason, Config)}
    end;
with_http(Config) ->
    {ok, Config}.

without_http(Reason, Config) ->
    ok = ml_cluster_log:write(notice, no_http, #{why => Reason}),
    Config#{http := false}.

usable(Adapter) ->
    case is_listener(Adapter) of
        true -> with_json(Adapter:usable());
        false -> {error, <<"an adapter with a listener of its own, such as ml_cluster_mochiweb, or none">>}
    end.

is_listener(Module) ->
    code:ensure_loaded(Module) =:= {module, Module} andalso
        lists:all(
            fun({Name, Arity}) -> erlang:function_exported(Module, Name, Arity) end,
            ml_cluster_http_adapter:behaviour_info(optional_callbacks)
        ).

with_json(ok) ->
    case ml_cluster_json:available() of
        true -> ok;
        false -> {error, <<"no JSON library: expected OTP 27 or later, or jiffy">>}
    end;
with_json({error, _} = Error) ->
    Error.

%% @doc The reason of a start that failed, for people.
-spec explain(term()) -> iodata().
explain({bad_config, Key, Expected, Got}) ->
    io_lib:format("key ~0tp: expected ~ts, got ~0tp", [Key, Expected, Got]);
explain(not_distributed) ->
    "this node has no name: start erl with -name front@HOST or -sname front".
