echo "$HOSTNAME ${EXECUTOR_PARAM_UID:-1000} $((1 + 1))" >/outputs/hello.txt
