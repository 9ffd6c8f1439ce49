"""What every test process needs before it imports anything of ours."""

from orchestration.environment import prepare_process

prepare_process()
