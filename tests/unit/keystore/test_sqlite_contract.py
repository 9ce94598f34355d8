from tests.keystore_contract import KeyStoreContract


class TestSQLite(KeyStoreContract):
    """The contract, over the fixture `bench` of this folder."""
