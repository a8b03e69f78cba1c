%% @doc The application's environment, checked key by key before anything starts. A wrong value
%% stops the start with `{bad_config, Key, Expected, Got}'; so does a key that nobody reads, for it
%% is a misspelt one.
-module(ml_cluster_config).

-export([read/0, check/1, install/1, uninstall/0, is_installed/0, get/1, get/2]).
-export_type([config/0, error/0]).

-type config() :: #{atom() => term()}.
-type error() :: {bad_config, Key :: atom(), Expected :: binary(), Got :: term()}.

%% @doc Reads and checks the environment of the application.
-spec read() -> {ok, config()} | {error, error()}.
read() ->
    %% Put there by the application controller, not by the user.
    check(lists:keydelete(included_applications, 1, application:get_all_env(ml_cluster))).

%% @doc Checks a property list of keys and values; what is missing takes its default.
-spec check([{atom(), term()}]) -> {ok, config()} | {error, error()}.
check(Env) ->
    try
        ok = no_unknown([Key || {Key, _} <- Env], keys(), environment),
        Config = maps:from_list([{Key, value(Key, Env)} || Key <- keys()]),
        ok = guarded(Config),
        {ok, Config}
    catch
        throw:{bad_config, _, _, _} = Error -> {error, Error}
    end.

%% @doc Makes a checked configuration the one in force.
-spec install(config()) -> ok.
install(Config) -> persistent_term:put(?MODULE, Config).

-spec uninstall() -> boolean().
uninstall() -> persistent_term:erase(?MODULE).

-spec is_installed() -> boolean().
is_installed() -> persistent_term:get(?MODULE, none) =/= none.

%% @doc A value of the configuration in force; raises `badarg' while the application is stopped.
-spec get(atom()) -> term().
get(Key) -> maps:get(Key, persistent_term:get(?MODULE)).

-spec get(atom(), Default) -> term() | Default.
get(Key, Default) -> maps:get(Key, persistent_term:get(?MODULE, #{}), Default).

keys() ->
    [
        workers,
        hosts,
        prefixes,
        strategy,
        retries,
        default_timeout_ms,
        suspect_after_ms,
        mix_numerics,
        events,
        http,
        api_keys_file,
        local_worker,
        limits
    ].

value(Key, Env) ->
    case lists:keyfind(Key, 1, Env) of
        {Key, Value} -> checked(Key, Value);
        false -> default(Key)
    end.

default(workers) -> [];
default(hosts) -> [];
default(prefixes) -> [<<"gpu">>, <<"worker">>];
default(strategy) -> round_robin;
default(retries) -> 2;
default(default_timeout_ms) -> 30000;
default(suspect_after_ms) -> 2000;
default(mix_numerics) -> false;
default(events) -> none;
%% `default': as asked for, but a node without an HTTP server starts all the same.
default(http) -> (http_defaults())#{required => false};
default(api_keys_file) -> undefined;
default(local_worker) -> false;
default(limits) -> limit_defaults().

http_defaults() ->
    #{
        ip => {127, 0, 0, 1},
        port => 8080,
        adapter => ml_cluster_mochiweb,
        allow_anonymous => false,
        cors => [],
        required => true
    }.

limit_defaults() ->
    #{
        body_bytes => 16 bsl 20,
        body_timeout_ms => 30000,
        head_bytes => 32768,
        head_timeout_ms => 10000,
        idle_timeout_ms => 60000,
        write_timeout_ms => 30000,
        stream_lines => 256,
        stream_idle_ms => 300000,
        line_bytes => 2 bsl 20,
        connections => 2048,
        drain_ms => 30000,
        texts => 100000,
        workers => 1000,
        %% Head-of-line: more than this in one message delays the probes behind it.
        piece_bytes => 256 bsl 10,
        piece_texts => 512,
        pieces_in_flight => 64,
        %% What a worker that has stalled may hold of a large call; the others get the rest.
        worker_bytes => 4 bsl 20
    }.

%% ---- One clause per key ----

checked(workers, Names) ->
    list_of(workers, fun node_name/1, <<"a list of node names NAME@HOST">>, Names);
checked(hosts, Hosts) ->
    list_of(hosts, fun host/1, <<"a list of host names or addresses">>, Hosts);
checked(prefixes, Prefixes) ->
    list_of(prefixes, fun prefix/1, <<"a list of prefixes of node names, as text">>, Prefixes);
checked(strategy, Strategy) when
    Strategy =:= round_robin; Strategy =:= least_loaded; Strategy =:= consistent
->
    Strategy;
checked(strategy, Other) ->
    bad(strategy, <<"round_robin, least_loaded or consistent">>, Other);
checked(retries, Value) ->
    integer_in(retries, 0, 100, Value);
checked(default_timeout_ms, Value) ->
    integer_in(default_timeout_ms, 1, 86400000, Value);
checked(suspect_after_ms, Value) ->
    integer_in(suspect_after_ms, 50, 3600000, Value);
checked(mix_numerics, Value) when is_boolean(Value) ->
    Value;
checked(mix_numerics, Other) ->
    bad(mix_numerics, <<"true or false">>, Other);
checked(events, none) ->
    none;
checked(events, Handler) ->
    is_handler(Handler) orelse
        bad(events, <<"none, a fun of three arguments, or {Module, Function} of such">>, Handler),
    Handler;
checked(http, false) ->
    false;
checked(http, Value) ->
    http(options(http, http_defaults(), Value));
checked(api_keys_file, undefined) ->
    undefined;
checked(api_keys_file, File) ->
    text(api_keys_file, <<"the name of a readable file, one key a line">>, File);
checked(local_worker, false) ->
    false;
checked(local_worker, Value) ->
    local_worker(options(local_worker, local_defaults(), Value));
checked(limits, Value) ->
    Limits = options(limits, limit_defaults(), Value),
    maps:map(fun(Key, Limit) -> integer_in({limits, Key}, 1, largest(Key), Limit) end, Limits).

is_handler({Module, Function}) when is_atom(Module), is_atom(Function) ->
    _ = code:ensure_loaded(Module),
    erlang:function_exported(Module, Function, 3);
is_handler(Handler) ->
    is_function(Handler, 3).

%% What a timer takes, or bytes and counts.
largest(Key) ->
    case lists:suffix("_ms", atom_to_list(Key)) of
        true -> 86400000;
        false -> 1 bsl 40
    end.

http(#{ip := Ip, port := Port, adapter := Adapter, allow_anonymous := Anonymous, cors := Cors} = Http) ->
    is_boolean(Anonymous) orelse bad({http, allow_anonymous}, <<"true or false">>, Anonymous),
    is_atom(Adapter) orelse bad({http, adapter}, <<"a module, or none">>, Adapter),
    Http#{
        ip := address(Ip),
        port := integer_in({http, port}, 0, 65535, Port),
        cors := origins(Cors),
        required := true
    }.

origins(any) ->
    any;
origins(Origins) ->
    Expected = <<"any, or a list of origins such as \"https://app.example.com\"">>,
    list_of({http, cors}, fun prefix/1, Expected, Origins).

address(Ip) when is_tuple(Ip) ->
    case inet:ntoa(Ip) of
        {error, einval} -> bad({http, ip}, <<"an address such as \"127.0.0.1\"">>, Ip);
        _ -> Ip
    end;
address(Ip) ->
    case inet:parse_address(text({http, ip}, <<"an address such as \"127.0.0.1\"">>, Ip)) of
        {ok, Address} -> Address;
        {error, einval} -> bad({http, ip}, <<"an address such as \"127.0.0.1\"">>, Ip)
    end.

local_defaults() ->
    #{program => undefined, args => [], name => undefined}.

local_worker(#{program := Program, args := Args, name := Name} = Local) ->
    Expected = <<"the path of the program ml_worker">>,
    File = text({local_worker, program}, Expected, Program),
    os:find_executable(File) =/= false orelse bad({local_worker, program}, Expected, Program),
    Local#{
        program := File,
        args := list_of({local_worker, args}, fun any_text/1, <<"a list of options">>, Args),
        name := local_name(Name)
    }.

local_name(undefined) ->
    undefined;
local_name(Name) ->
    case node_name(Name) of
        {ok, Node} -> Node;
        error -> bad({local_worker, name}, <<"a node name NAME@HOST">>, Name)
    end.

%% ---- What depends on more than one key ----

%% Whoever can reach the port can use the workers: off this machine only with keys, or on purpose.
guarded(#{http := #{ip := Ip, allow_anonymous := false}, api_keys_file := undefined}) ->
    case is_loopback(Ip) of
        true ->
            ok;
        false ->
            bad({http, ip}, <<"a loopback address, or api_keys_file, or allow_anonymous">>, Ip)
    end;
guarded(_) ->
    ok.

is_loopback({127, _, _, _}) -> true;
is_loopback({0, 0, 0, 0, 0, 0, 0, 1}) -> true;
is_loopback(_) -> false.

%% ---- Kinds of values ----

%% A map or a property list over the defaults; no other keys.
options(Key, Defaults, Value) when is_map(Value) ->
    ok = no_unknown(maps:keys(Value), maps:keys(maps:remove(required, Defaults)), Key),
    maps:merge(Defaults, Value);
options(Key, Defaults, Value) when length(Value) >= 0 ->
    case lists:all(fun(Item) -> is_tuple(Item) andalso tuple_size(Item) =:= 2 end, Value) of
        true -> options(Key, Defaults, maps:from_list(Value));
        false -> bad(Key, <<"a map or a property list">>, Value)
    end;
options(Key, _, Value) ->
    bad(Key, <<"a map or a property list">>, Value).

no_unknown(Keys, Known, Where) ->
    case Keys -- Known of
        [] -> ok;
        [Key | _] -> bad(unknown_name(Where, Key), one_of(Known), Key)
    end.

unknown_name(environment, Key) -> Key;
unknown_name(Where, Key) -> {Where, Key}.

one_of(Keys) ->
    Names = lists:join(", ", [io_lib:format("~tp", [Key]) || Key <- lists:sort(Keys)]),
    unicode:characters_to_binary(["a key out of ", Names]).

list_of(Key, Read, Expected, Items) when length(Items) >= 0 ->
    [
        case Read(Item) of
            {ok, Value} -> Value;
            error -> bad(Key, Expected, Item)
        end
     || Item <- Items
    ];
list_of(Key, _, Expected, Other) ->
    bad(Key, Expected, Other).

node_name(Name) ->
    case any_text(Name) of
        {ok, Text} -> ml_cluster_names:to_node(list_to_binary(Text));
        error -> error
    end.

host(Address) when is_tuple(Address) ->
    case inet:ntoa(Address) of
        {error, einval} -> error;
        Text -> {ok, Text}
    end;
host(Host) ->
    any_text(Host).

prefix(Prefix) ->
    case any_text(Prefix) of
        {ok, Text} -> {ok, list_to_binary(Text)};
        error -> error
    end.

text(Key, Expected, Value) ->
    case any_text(Value) of
        {ok, Text} -> Text;
        error -> bad(Key, Expected, Value)
    end.

%% Names come as strings, binaries or atoms.
any_text(undefined) ->
    error;
any_text(Value) when is_atom(Value) ->
    any_text(atom_to_list(Value));
any_text(Value) when is_binary(Value) ->
    any_text(binary_to_list(Value));
any_text([_ | _] = Value) ->
    case io_lib:latin1_char_list(Value) of
        true -> {ok, Value};
        false -> error
    end;
any_text(_) ->
    error.

integer_in(_, Min, Max, Value) when is_integer(Value), Value >= Min, Value =< Max ->
    Value;
integer_in(Key, Min, Max, Value) ->
    bad(Key, iolist_to_binary(io_lib:format("an integer from ~b to ~b", [Min, Max])), Value).

-spec bad(term(), binary(), term()) -> no_return().
bad(Key, Expected, Got) -> throw({bad_config, Key, Expected, Got}).
